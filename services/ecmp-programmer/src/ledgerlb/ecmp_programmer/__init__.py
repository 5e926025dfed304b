"""Path sets from the ledger and the endpoints, and the agents that program them."""
