"""Tests of ``fuseboard.cli.commands``."""
