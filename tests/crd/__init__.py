"""Tests of ``fuseboard.crd``."""
