"""How a state relaxes: waiting times, correlations and their laws; arrays in, laws out."""
