"""How a state moves in time: single-site updates, overdamped Langevin, AdamW; clones."""
