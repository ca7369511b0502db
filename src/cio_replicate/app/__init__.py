"""Use cases, without printing, HTTP or a command line framework."""
