"""A real Kubernetes API server with real Knative Eventing, as plain processes without containers.

`programs` builds them from pinned Go modules, `cluster` starts them; `python -m tests.cluster`
leaves one running for people to play with.
"""
