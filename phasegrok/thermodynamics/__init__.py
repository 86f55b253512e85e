"""From a density of states to thermodynamics: arrays in, arrays with errors out."""
