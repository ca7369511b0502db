"""What a batch changes: digests, change sets and the statements that compute them."""
