"""What people see of the breaker table."""
