"""Scenes: objects before grounds, their masks and their boxes; composed, or of files."""
