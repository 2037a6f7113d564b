"""The manifests and the image, as far as they can be tried without a cluster and without a container engine."""
