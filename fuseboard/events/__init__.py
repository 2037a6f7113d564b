"""Fuseboard's events, and how they travel as CloudEvents 1.0."""
