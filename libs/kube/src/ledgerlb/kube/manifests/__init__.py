"""A folder of manifests in place of a cluster: read it within bounds, follow it, and identify it."""
