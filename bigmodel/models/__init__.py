"""Networks: one architecture a file. The only room that imports Flax."""
