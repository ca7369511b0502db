"""Copy a Customer.io workspace into your own database, keep the copy true, and prove it."""
