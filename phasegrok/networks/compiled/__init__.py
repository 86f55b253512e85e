"""Networks compiled: energy, gradient and losses of one replica on one core."""
