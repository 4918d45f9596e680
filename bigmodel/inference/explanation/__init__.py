"""What of an input an answer is due to: its methods, and the layers behind it."""
