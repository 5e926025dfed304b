"""The runtime that every LedgerLB process shares.

- A service implements ``processor``: fold records, and settle once caught up. ``loop`` runs processors on a reader,
  and ``projection`` is the fold that they share.
- ``parts`` lists what a service consists of; ``serve`` runs the parts as a process, with ``health``, ``metrics``,
  ``logging`` and ``settings``.
- ``deadletters`` keeps records that a processor could not use; ``logview`` folds the whole log for people.
"""
