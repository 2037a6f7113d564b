"""Tests of ``fuseboard.failover``."""
