"""What alerts and loads say, and which breakers that is about."""
