"""Networks that read or draw images."""
