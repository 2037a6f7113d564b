"""What the user wrote: read, checked, explained."""
