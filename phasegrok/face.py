"""What notebooks call: a run file, opened."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from phasegrok.cards.card import Card
from phasegrok.run import runfile
from phasegrok.run.stored import card_of
from phasegrok.studies import weights

if TYPE_CHECKING:  # PyTorch only where it is asked for
    from phasegrok.networks.pytorch.module import Module


class Run:
    """A run file: its card, and the weights that it holds.

    Parameters
    ----------
    path : str or Path
    trust : bool
        Execute code that its card names.
    """

    def __init__(self, path: str | Path, trust: bool = False):
        self.path = Path(path)
        self._trust = trust
        self._file = runfile.read(self.path)

    @functools.cached_property
    def card(self) -> Card:
        """The card of the run, with the disorder that it had.

        Raises
        ------
        InputError
            If the run is one over several cards.
        """
        return card_of(self.path, self._file, self._trust)

    def weights(self, replica: int = 0, step: int | str | None = None) -> dict[str, np.ndarray]:
        """The matrices of one replica of a network by their names, as copies.

        Parameters
        ----------
        replica : int
            Initialisation, or clone of a checkpoint.
        step : int, str or None
            Step of a snapshot, or of the end of the run; name of an event; None: the last snapshot,
            and in a run without snapshots the end.

        Raises
        ------
        InputError
            If there are no such weights: one sentence with the steps that there are.
        """
        return weights.of_run(self.path, self._file, replica, step, self._trust)

    def to_torch(self, replica: int = 0, step: int | str | None = None) -> "Module":
        """These weights as a ``torch.nn.Module`` whose outputs are those of the network.

        Its parameters are named as the matrices.  Arguments and errors as of :meth:`weights`.
        """
        from phasegrok.networks.pytorch.module import Module

        return Module(weights.network_of(self.card), self.weights(replica, step))
