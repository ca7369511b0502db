"""A worker in a private network: it asks a console for runs, executes them there, and reports their progress."""
