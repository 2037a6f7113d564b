"""Signals from alerts and loads, and the breakers of each signal."""
