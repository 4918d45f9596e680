"""Plans runs on devices that need not be attached: whether they fit, and how fast they could be."""
