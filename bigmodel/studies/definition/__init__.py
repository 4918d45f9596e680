"""What a study is made of: its cells, from options or a file."""
