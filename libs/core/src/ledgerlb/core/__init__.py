"""The pure domain of LedgerLB: no I/O, no clock, no randomness.

Facts become a ``ClusterView`` (``facts``, ``view``), which gives the external networks (``networks``) and, for each
Service, the network that serves it (``selection``). The results are ``intents``, from which ``ipam`` decides addresses
as entries of the ``ledger``. ``paths`` plans how an address is forwarded to which backends, ``agents`` tells who
forwards it, and ``publication`` what a Service's status shows. ``reasons`` are the words for everything that is not as
its owner wants it; ``addresses`` and ``index`` serve all of these.
"""
