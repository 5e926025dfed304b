"""Kubernetes at the edge.

- ``source``, ``kinds``: the port of everything that lists and watches objects, and the kinds that LedgerLB reads.
- ``writer``: the port of everything that writes objects.
- ``api`` and ``memory`` implement both ports; ``manifests`` is a source on top of ``memory``.
- ``normalise`` turns objects into facts; ``pods`` keeps only the Pods that matter; ``deletion_guard`` holds back mass
  deletions until a second look.
"""
