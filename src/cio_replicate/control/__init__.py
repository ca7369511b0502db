"""What is kept of connections, tasks, runs and people who use them, in a database, and what may be done with it."""
