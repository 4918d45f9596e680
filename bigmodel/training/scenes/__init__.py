"""What is where in an image: losses, metrics and answers."""
