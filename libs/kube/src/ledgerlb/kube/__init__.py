"""Kubernetes at the edge: list and watch, normalisation into facts, writers."""
