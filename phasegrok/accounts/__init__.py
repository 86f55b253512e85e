"""Which account fits a run: the measured components and the verdict."""
