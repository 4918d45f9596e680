"""Images with texts: what encodes both, and the pairs that training sees."""
