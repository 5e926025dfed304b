"""The pure domain of LedgerLB: no I/O, no clock, no randomness.

Facts become a ``ClusterView`` (``cluster``), which gives the external networks (``networks``) and, for each Service,
the network that serves it (``selection``). The results are ``intents``, from which ``ipam`` decides addresses as
entries of the ``ledger``. ``paths`` plans how an address is forwarded to which backends, and ``publication`` what the
status of a Service shows. ``reasons`` are the words for everything that is not as its owner wants it; ``addresses`` and
``index`` serve all of these.
"""
