"""What every layer may use: errors, secrets, time, events."""
