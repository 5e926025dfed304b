"""The cluster as facts: what LedgerLB remembers of each Kubernetes object, and a view that folds them.

- ``facts``: one normalised, canonical record per object; ``view``: ``ClusterView``, the fold of the facts topic.
- ``services``: what a Service asks for (families, requested addresses, source ranges, whether it is ours).
- ``reachability``: which interfaces a Pod has, and which network reaches which.
- ``labels``: label selectors, as Kubernetes defines them.
"""
