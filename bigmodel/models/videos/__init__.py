"""Networks over clips."""
