"""A worker in a private network: it asks a console for runs, executes them on its own side, and tells how they go."""
