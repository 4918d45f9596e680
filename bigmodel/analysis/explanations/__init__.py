"""What an explanation shows, and what it is worth."""
