"""Device meshes and partition rules by parameter path."""
