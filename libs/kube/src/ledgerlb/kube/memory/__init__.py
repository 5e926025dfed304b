"""A cluster in memory that behaves like an API server: for folders of manifests, the simulator and tests."""
