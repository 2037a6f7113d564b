"""Tests of ``fuseboard.serving``."""
