"""A run: the only place where reading and loading meet."""
