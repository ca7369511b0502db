"""The job queue: ports, local engine, worker and scheduler."""
