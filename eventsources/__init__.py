"""Sources turn the outside world into signals; each file is a source."""
