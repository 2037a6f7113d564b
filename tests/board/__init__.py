"""Tests of ``fuseboard.board``."""
