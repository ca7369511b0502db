"""SQL databases: PostgreSQL, MySQL, SQLite."""
