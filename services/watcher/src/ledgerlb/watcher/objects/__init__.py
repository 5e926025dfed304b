"""The objects that LedgerLB makes in the cluster besides what it writes on Services: CN2's own kinds.

``services``: InstanceIPs and FloatingIPs of Services. ``networks``: VirtualNetworks and Subnets of NADs. Both are
processors that keep the objects in the cluster equal to the log, through one ``ObjectReconciler`` each.
"""
