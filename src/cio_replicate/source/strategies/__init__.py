"""Ways to read a table, one file each."""
