"""Tables larger than memory: read in blocks, kept by column on disk, encoded batch by batch."""
