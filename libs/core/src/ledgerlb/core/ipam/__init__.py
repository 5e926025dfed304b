"""The allocator: pure decisions over the state of one network.

- ``batch``: many intents of one network in one decision; what the IPAM service calls.
- ``want``: one Service's wish against the state; ``withdraw``: its end; ``offer``: changes of the network itself.
- ``choice``: which address; ``clock``: what time and agents' reports bring about.

Every function takes the state and the time, returns events, and changes nothing.
"""
