"""What several kinds of tests share; nothing here imports ledgerlb."""
