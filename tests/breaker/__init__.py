"""Tests of ``fuseboard.breaker``."""
