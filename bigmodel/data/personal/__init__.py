"""Personal data in texts and tables: how it is found, and what stands in its place."""
