"""Whether and how fast a run would go on devices that need not be here."""
