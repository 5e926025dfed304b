"""The ecmp-programmer: computes path sets from the ledger and the cluster, and programs them.

Two roles, in one process or in two:

- ``planner`` reads facts and ledger, and writes one path set for each external address. The rules are pure and live in
  ``ledgerlb.core.paths``.
- ``agent`` runs once per node or gateway. It makes its machine match the path sets, and reports the outcome.

``backends`` holds what an agent can program, behind the protocol ``DataPath``; ``netlink`` talks to the Linux kernel.
``assemble`` hands the roles that the settings name to a process of their own (``main``) or to ``ledgerlb run``.
"""
