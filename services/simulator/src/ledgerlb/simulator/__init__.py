"""The simulator: runs a scenario through the whole decision path, in one process and in virtual time.

- ``scenario`` reads a scenario file (``located`` keeps line numbers for messages, ``settings`` its settings), and
  ``runner`` runs it step by step.
- ``engine`` drives the real parts of all services on a log and a cluster in memory. Each is a ``process``, stepped by
  the virtual ``clock``; ``faults`` kills one after an append or a write.
- ``snapshot`` shows the outcome of a step as JSON, and compares it with the expectations.
"""
