"""Training of networks that draw images, and how their images are judged."""
