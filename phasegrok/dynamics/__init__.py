"""How a state moves in time: single-site updates, Langevin, training of networks; clones."""
