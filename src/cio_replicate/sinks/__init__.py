"""Destinations: one port, one implementation for each kind of place."""
