"""What is simulated: parameters, energy, order parameters, moves or gradient; one file a family.

``KINDS`` is the one table from the ``kind`` of a card to the schema of its parameters, given as
``module:class`` and imported when a card asks for it.  ``FAMILY`` says which protocols fit: a
"discrete" system has single-site moves, a "continuous" one a
Gaussian latent and a gradient, a "network" a loss and a gradient, an "overdamped" system
a force, a "constrained" one a region in which all states weigh the same.
"""

import importlib
import math

KINDS = {
    "ising-chain": "phasegrok.systems.ising:ChainParameters",
    "ising-2d": "phasegrok.systems.ising:Lattice2DParameters",
    "ising-3d": "phasegrok.systems.ising:Lattice3DParameters",
    "edwards-anderson": "phasegrok.systems.ising:EdwardsAndersonParameters",
    "ising-graph": "phasegrok.systems.ising:GraphParameters",
    "potts-2d": "phasegrok.systems.potts:Parameters",
    "blume-capel-2d": "phasegrok.systems.blume_capel:Parameters",
    "curie-weiss": "phasegrok.systems.curie_weiss:Parameters",
    "potts-mean-field": "phasegrok.systems.mean_field_potts:Parameters",
    "sherrington-kirkpatrick": "phasegrok.systems.fully_connected:SherringtonKirkpatrickParameters",
    "p-spin": "phasegrok.systems.fully_connected:ThreeSpinParameters",
    "east": "phasegrok.systems.east:Parameters",
    "ising-perceptron": "phasegrok.systems.perceptron:Parameters",
    "spherical-perceptron": "phasegrok.systems.spherical_perceptron:Parameters",
    "two-layer-cubic": "phasegrok.systems.two_layer:Parameters",
    "two-layer-modular": "phasegrok.systems.two_layer_modular:Parameters",
    "ridge": "phasegrok.systems.ridge:Parameters",
    "tanh-teacher-student": "phasegrok.systems.tanh_mlp:Parameters",
    "modular-transformer": "phasegrok.networks.models.transformer:Parameters",
    "modular-decoder": "phasegrok.networks.models.decoder:Parameters",
    "modular-mlp": "phasegrok.networks.models.mlp:Parameters",
    "regression-mlp": "phasegrok.networks.tasks.teachers:StudentParameters",
    "committee-machine": "phasegrok.networks.tasks.teachers:CommitteeParameters",
    "overdamped-1d": "phasegrok.systems.testsystems:Parameters",
}

FAMILY = {
    "ising-chain": "discrete",
    "ising-2d": "discrete",
    "ising-3d": "discrete",
    "edwards-anderson": "discrete",
    "ising-graph": "discrete",
    "potts-2d": "discrete",
    "blume-capel-2d": "discrete",
    "curie-weiss": "discrete",
    "potts-mean-field": "discrete",
    "sherrington-kirkpatrick": "discrete",
    "p-spin": "discrete",
    "east": "discrete",
    "ising-perceptron": "discrete",
    "spherical-perceptron": "constrained",
    "two-layer-cubic": "continuous",
    "two-layer-modular": "continuous",
    "ridge": "continuous",
    "tanh-teacher-student": "continuous",
    "modular-transformer": "network",
    "modular-decoder": "network",
    "modular-mlp": "network",
    "regression-mlp": "network",
    "committee-machine": "network",
    "overdamped-1d": "overdamped",
}


_FRACTIONS = ("potts-2d", "potts-mean-field", "east")  # kinds whose order parameter is a fraction


def order_range(kind: str) -> tuple[float, float]:
    """Least and largest value of the order parameter (test accuracy of a network) of ``kind``.

    Unbounded for continuous and overdamped systems.
    """
    family = FAMILY[kind]
    if family == "network" or kind in _FRACTIONS:
        return 0.0, 1.0
    return (-1.0, 1.0) if family in ("discrete", "constrained") else (-math.inf, math.inf)


def parameters_class(kind: str):
    """The pydantic schema of the parameters of ``kind`` (a key of ``KINDS``)."""
    module, name = KINDS[kind].split(":")
    return getattr(importlib.import_module(module), name)
