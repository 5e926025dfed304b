"""The Kubernetes API server as a source and a target: list and watch, discovery, and writes with conflict handling."""
