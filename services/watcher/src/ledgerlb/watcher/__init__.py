"""Kubernetes objects in, facts out; folded entries in, status, Events and finalizers out."""
