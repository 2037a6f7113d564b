"""Proofs: what holds for any sequence, and tests of the tests."""
