"""Paths: how an external address is reached.

- ``plan``: the path set of an address, from the ledger (who holds it) and the cluster (who answers).
- ``pathset``: path sets and the reports of agents, and their codec; ``agents``: ``AgentTable``, which agents live and
  what each last reported.
- ``backends``, ``backend_facts``: which pods and nodes answer for a Service, and the facts that this depends on.
"""
