"""A folder of manifests that stands for the cluster: reading it within bounds, following it, and its identity."""
