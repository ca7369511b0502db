"""The table of tables: what is replicated, declared once."""
