"""Tests of ``fuseboard.events``."""
