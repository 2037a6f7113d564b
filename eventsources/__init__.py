"""The outside world → signals: one file is one source."""
