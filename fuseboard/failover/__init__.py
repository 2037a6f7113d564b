"""Bring the placement to the wanted shares, by fenced steps on the route object."""
