"""Customer.io: client, catalog of tables, strategies, decoding."""
