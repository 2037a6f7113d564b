"""Tests against the real Alertmanager, and recordings of what it sends."""
