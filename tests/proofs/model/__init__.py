"""A small model of the whole, explored to its fixpoint over the real pure functions."""
