"""phasegrok: is a learning network's sudden understanding a phase transition?

A spin lattice, a teacher-student network and a transformer are the same kind of object here: each
has a state, an energy E, an order parameter Phi, and moves or a gradient.  The package measures the
density of states, the effective potential, the relaxation and the waiting times of all of them, and
says which account of the sudden change fits.

Importing the package is instant; the rooms (``phasegrok.protocols``, ``phasegrok.thermodynamics``,
...) are imported when they are needed.
"""

__version__ = "0.1.0"
