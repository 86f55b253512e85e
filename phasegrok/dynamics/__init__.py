"""How a state moves in time: single-site dynamics, overdamped Langevin, AdamW; clones of a state."""
