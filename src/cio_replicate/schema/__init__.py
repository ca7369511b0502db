"""Tables, columns and checkpoints: what source and sinks both know."""
