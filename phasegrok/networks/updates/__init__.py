"""What an optimiser does to weights, one file an update."""
