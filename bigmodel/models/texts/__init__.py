"""Networks that read or write texts."""
