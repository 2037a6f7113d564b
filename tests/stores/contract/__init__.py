"""What every store does: the same tests over the store in memory and the store in Valkey."""
