"""Warehouses that are loaded through dlt."""
