"""Policies of breakers: reading, validation, and advice to their authors."""
