"""The updates by name, a row each.

A row names the class of an update, which is a ``NamedTuple`` of the settings that it reads, by
their names in [training].  The file of the class holds the rest: the equation on top,

``step(update, at, energy, k, lr, T)``
    compiled, registered by ``behaviour``: the step k -> k + 1 of one replica (``state.At``);
    returns the energy (loss, order parameter) that is known of the weights after it, and whether
    one is.  Without it the engine compiled refuses the update.
``tensor_step(update, at)``
    in PyTorch: the same of a stack of replicas (``stack_torch.Stack``).
``free_step(update, h, T, k)``
    compiled, where the step is linear but for the force of the loss (``free_diffusion``).

Within a step come a filter of the gradient, the update with its decay and noise, and at a fixed
norm the way back to the sphere.
"""

import importlib
from typing import Any, NamedTuple

from phasegrok import own_code


class Update(NamedTuple):
    """A row: where an update is, and what it asks for."""

    place: str  # module:class
    velocities: bool = False  # State.m are velocities, drawn at the start
    monte_carlo: bool = False  # accepts or rejects by the energy of all pairs, which it keeps
    hidden: bool = False  # acts on hidden matrices, of which a network must have one
    two_gradients: bool = False  # takes a second one, which a filter does not see


UPDATES = {
    "adamw": Update("phasegrok.networks.updates.adamw:AdamW"),
    "adam": Update("phasegrok.networks.updates.adam:Adam"),
    "sgd": Update("phasegrok.networks.updates.sgd:SGD"),
    "lion": Update("phasegrok.networks.updates.lion:Lion"),
    "muon": Update("phasegrok.networks.updates.muon:Muon", hidden=True),
    "sam": Update("phasegrok.networks.updates.sam:SAM", two_gradients=True),
    "baoab": Update("phasegrok.networks.updates.baoab:BAOAB", velocities=True),
    "ghmc": Update("phasegrok.networks.updates.ghmc:GHMC", velocities=True, monte_carlo=True),
    "wand": Update("phasegrok.networks.updates.wand:WanD", velocities=True),
}


_OWN = Update("phasegrok.networks.updates.own:Own")


def row_of(settings: Any) -> Update:
    """The row of the update that settings of training name, which may be a user's own."""
    own = own_code.is_own(settings.optimiser)
    return _OWN if own else UPDATES[settings.optimiser]


def update_of(settings: Any) -> Any:
    """The update that settings of training name, with what it reads of them.

    A setting that is None is the update's own default.
    """
    module, name = row_of(settings).place.split(":")
    kind = getattr(importlib.import_module(module), name)
    given = {field: getattr(settings, field) for field in kind._fields}
    return kind(**{field: value for field, value in given.items() if value is not None})
