"""The ``ledgerlb`` command.

- ``main`` is the entry point; ``lazy`` lists the commands and loads one only when it is used. ``commands`` has a module
  per command; ``console`` has what all share: options, output, errors and exit statuses.
- Commands that answer once read the log (``reading``, ``lookup``) and print it (``listing``, ``tables``,
  ``network_text``).
- ``pipeline`` assembles all services in one process, for ``ledgerlb run`` and the ``demo``; ``follower`` watches them.
"""
