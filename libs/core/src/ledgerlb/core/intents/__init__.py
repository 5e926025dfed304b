"""Intents: what each Service wants of which network, and what each network offers.

- ``model``: the records of the intents topic, and their codec.
- ``fold``: ``IntentFold``, the latest record of each key; every reader of the topic uses it.

Intents are level-triggered: a record holds the whole intent as it is now, so repeating one changes nothing.
"""
