"""Publication: what the status of a Service shows, as a pure function of the folded log.

``publish`` gives addresses, conditions, state and reason of one Service. The watcher writes them, and the command line
prints them, so that both always agree.
"""
