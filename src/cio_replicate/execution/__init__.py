"""From settings as users write them to a run that is executed and watched, on whatever machine that is."""
