"""Tests of ``fuseboard.workloads``."""
