"""What is said in a recording: losses, metrics and answers."""
