"""Files of weights, which are read without executing anything in them."""
