"""Functions turn events into decisions and actions; each file is a Knative Service."""
