"""What tests are made of, each kind in one place: a test states only what it is about.

``objects`` builds Kubernetes objects, ``facts`` the facts that they become, ``entries`` holdings, intents and reports.
Full names are ``namespace/name``; keyword arguments replace the defaults.
"""
