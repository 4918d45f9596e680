"""Networks that learn from others: distillation."""
