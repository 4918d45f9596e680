"""Images: from files or packages to pixels and classes."""
