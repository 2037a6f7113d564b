"""Tests of ``fuseboard.failover.routes``."""
