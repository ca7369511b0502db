"""What a user says about a connection, checked once."""
