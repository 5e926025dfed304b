"""What an agent programs: one module per back end behind the protocol of ``base``."""
