"""What a run knows of its held-out data beside what the loop measures."""
