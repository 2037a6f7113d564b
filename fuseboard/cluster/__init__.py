"""The Kubernetes API server: objects, streams, watches; or a rehearsal of it."""
