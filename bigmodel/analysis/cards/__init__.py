"""Model cards: what is known of a trained run, and what its owner has to say."""
