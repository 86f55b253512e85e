"""What is simulated: parameters, energy, order parameters, moves or gradient; one file a family.

``KINDS`` is the table of the systems that a card may name by its ``kind``, a row each.
"""

import math
from typing import NamedTuple

RANGES = {
    "discrete": (-1.0, 1.0),
    "constrained": (-1.0, 1.0),
    "continuous": (-math.inf, math.inf),
    "hamiltonian": (-math.inf, math.inf),
    "overdamped": (-math.inf, math.inf),
}
"""Least and largest value of the order parameter of a family.

The family says which protocols fit: a "discrete" system has local moves, a "continuous" one
a Gaussian latent and a gradient, a "hamiltonian" one an energy of plain coordinates with its
gradient, an "overdamped" one a force, a "constrained" one a region in which all states weigh the
same.
"""
_FRACTION = (0.0, 1.0)


class Kind(NamedTuple):
    """What the package knows of a kind before a card asks for it."""

    parameters: str  # "module:Class", the schema of the card's parameters
    family: str
    order_range: tuple[float, float] | None = None  # of the order parameter; None: the family's


KINDS = {
    "ising-chain": Kind("phasegrok.systems.ising:ChainParameters", "discrete"),
    "ising-2d": Kind("phasegrok.systems.ising:Lattice2DParameters", "discrete"),
    "ising-3d": Kind("phasegrok.systems.ising:Lattice3DParameters", "discrete"),
    "edwards-anderson": Kind("phasegrok.systems.ising:EdwardsAndersonParameters", "discrete"),
    "ising-graph": Kind("phasegrok.systems.ising:GraphParameters", "discrete"),
    "potts-2d": Kind("phasegrok.systems.potts:Parameters", "discrete", _FRACTION),
    "blume-capel-2d": Kind("phasegrok.systems.blume_capel:Parameters", "discrete"),
    "lattice-gas-2d": Kind("phasegrok.systems.lattice_gas:Parameters", "discrete", (0.0, 2.0)),
    "curie-weiss": Kind("phasegrok.systems.curie_weiss:Parameters", "discrete"),
    "potts-mean-field": Kind(
        "phasegrok.systems.mean_field_potts:Parameters", "discrete", _FRACTION),
    "sherrington-kirkpatrick": Kind(
        "phasegrok.systems.fully_connected:SherringtonKirkpatrickParameters", "discrete"),
    "p-spin": Kind("phasegrok.systems.fully_connected:ThreeSpinParameters", "discrete"),
    "east": Kind("phasegrok.systems.east:Parameters", "discrete", _FRACTION),
    "ising-perceptron": Kind("phasegrok.systems.perceptron:Parameters", "discrete"),
    "spherical-perceptron": Kind(
        "phasegrok.systems.spherical_perceptron:Parameters", "constrained"),
    "two-layer-cubic": Kind("phasegrok.systems.two_layer:Parameters", "continuous"),
    "two-layer-modular": Kind("phasegrok.systems.two_layer_modular:Parameters", "continuous"),
    "ridge": Kind("phasegrok.systems.ridge:Parameters", "continuous"),
    "tanh-teacher-student": Kind("phasegrok.systems.tanh_mlp:Parameters", "continuous"),
    "xy": Kind("phasegrok.systems.xy:Parameters", "hamiltonian", (0.0, 1.0)),
    "heisenberg": Kind("phasegrok.systems.heisenberg:Parameters", "hamiltonian", _FRACTION),
    "spherical-p-spin": Kind(
        "phasegrok.systems.spherical_p_spin:Parameters", "hamiltonian", (-1.0, 1.0)),
    "phi4": Kind("phasegrok.systems.phi4:Parameters", "hamiltonian"),
    "lennard-jones": Kind("phasegrok.systems.lennard_jones:Parameters", "hamiltonian", (0.0, 1.0)),
    "muller-brown": Kind("phasegrok.systems.muller_brown:Parameters", "hamiltonian"),
    "overdamped-1d": Kind("phasegrok.systems.testsystems:Parameters", "overdamped"),
}
