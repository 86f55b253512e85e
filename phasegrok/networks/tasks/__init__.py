"""What networks learn: pairs under a binary operation, and teachers."""
