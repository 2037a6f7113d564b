"""Tests of ``fuseboard.testing``."""
