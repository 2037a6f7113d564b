"""Should the target serve? The rules of the breaker table, pure: no clock, no I/O."""
