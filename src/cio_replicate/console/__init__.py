"""The web console: users, secrets, notifications, pages and API."""
