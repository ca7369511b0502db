"""Parquet, Delta and Iceberg, in folders and object stores."""
