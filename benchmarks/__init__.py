"""Measures the product: against the limit of the API, against the plainest thing that is right, and against dlt."""
