"""Tests of ``fuseboard.cluster``; ``tests/cluster`` is the suite on a real cluster."""
