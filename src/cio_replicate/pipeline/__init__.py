"""Plan, staging, run, verification and report: where source and sinks meet."""
