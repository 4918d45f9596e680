"""Weights in other layouts, Hugging Face's and GGUF, to and from parameters by path."""
