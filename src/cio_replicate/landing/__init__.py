"""Durable pages and the journal of what was read."""
