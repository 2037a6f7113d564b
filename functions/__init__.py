"""Events → decisions and acts: one file is one Knative Service."""
