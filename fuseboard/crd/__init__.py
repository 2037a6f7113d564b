"""The CircuitBreaker resource: its definition, its status, and its deletion."""
