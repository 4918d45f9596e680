"""Images and texts in one space: losses, how well each finds the other, what is answered."""
