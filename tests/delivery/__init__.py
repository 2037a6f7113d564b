"""Tests of ``fuseboard.delivery``."""
