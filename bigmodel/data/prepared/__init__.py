"""What is dear to make of data is made once and kept in a cache, whole or not at all."""
