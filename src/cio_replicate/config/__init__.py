"""Options, documents, addresses and secret references: what a user may say, and how each is checked."""
