"""The console's JSON API."""
