"""One module per command, or per group of commands that answer the same kind of question."""
