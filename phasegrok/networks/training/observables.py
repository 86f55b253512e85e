"""Observables of a user's own: functions of network and weights, called at evaluations.

An observable is a function ``name(network, theta)`` that returns a number; ``theta`` is the flat
vector of a replica's weights, which ``network.views`` cuts into matrices.  Its attribute ``unit``
("1" without one) and the first line of its docstring say what it is in the run file.
"""

from typing import Any, NamedTuple

import numpy as np

from phasegrok import own_code
from phasegrok.errors import InputError
from phasegrok.networks.network import Network
from phasegrok.rng import streams

_TAKEN = {"replica", "step", "matrix", "clone", "x", "train_loss", "test_loss", "train_accuracy",
          "test_accuracy", "weight_norm", "update_norm", "free_norm", "memorisation_step",
          "generalisation_step_50", "generalisation_step_95", "broken_step", "event_step",
          "acceptance", "kinetic_temperature", "deposits", "time", "censored", "transit",
          "plateau_mean", "plateau_std", "plateau_train_accuracy"}  # of training and of clones


class Observable(NamedTuple):
    """One observable, and what it is."""

    name: str
    function: Any
    unit: str
    text: str

    def __call__(self, network: Network, theta: np.ndarray) -> float:
        """Its value.

        Raises
        ------
        InputError
            Where the function fails, or returns no number.
        """
        theta = theta.view()
        theta.flags.writeable = False
        try:
            return float(self.function(network, theta))
        except Exception as error:
            raise InputError(f"the observable {self.name} fails, or returns no number: "
                             f"{type(error).__name__}: {error}") from error


def observables_of(settings: Any) -> list[Observable]:
    """The observables that settings of training name, in their order."""
    found = []
    for reference in settings.observables:
        function, name = own_code.load(reference), own_code.name_of(reference)
        text = (function.__doc__ or name).strip().splitlines()[0]
        found.append(Observable(name, function, str(getattr(function, "unit", "1")), text))
    return found


def check(settings: Any, network: Network) -> None:
    """Call each observable once, on weights of a start.

    Raises
    ------
    ValueError, InputError
        Where one fails, or has a name that a run file has already.
    """
    for f in observables_of(settings):
        if f.name in _TAKEN or f.name.startswith("final_"):
            raise ValueError(f"the observable {f.name} has a name that the run file has already: "
                             "give the function another")
        f(network, network.initial(streams(1, ["observables"], 1)[0]))
