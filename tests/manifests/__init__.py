"""The manifests, as far as they can be tried without a cluster."""
