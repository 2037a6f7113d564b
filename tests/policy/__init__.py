"""Tests of ``fuseboard.policy``."""
