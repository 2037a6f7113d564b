"""Who serves: one fenced step at a time, on the route object."""
