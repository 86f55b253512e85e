"""Closed forms and exact solutions: spin systems, perceptron, first-passage times.

Every module stands alone and knows arrays only; import the one that is needed, for example
``from phasegrok.theory import curie_weiss``.  Reduced units, k_B = 1.  Densities of states are
counts, normalised by the total number of states.
"""
