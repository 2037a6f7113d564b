"""Tests of ``fuseboard.signals``."""
