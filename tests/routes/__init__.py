"""Tests of the route drivers."""
