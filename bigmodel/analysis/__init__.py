"""What is asked of a trained run before it is used: whom it serves less, what it gives away."""
