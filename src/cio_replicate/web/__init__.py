"""The console in a browser and its API for programs: they show and ask, and what is done is done by control."""
