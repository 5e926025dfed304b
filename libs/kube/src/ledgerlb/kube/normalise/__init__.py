"""Normalisation: raw Kubernetes objects become facts, or a BadInput that names object, field and remedy."""
