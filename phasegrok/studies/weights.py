"""Weights of networks, by name: those of a run file, and those with which a training starts."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from phasegrok.cards.card import Card
from phasegrok.errors import InputError
from phasegrok.groups import Group
from phasegrok.networks.network import Network
from phasegrok.networks.training.start import Source, source_of
from phasegrok.networks.weights import SUFFIXES, flat, named, read_matrices
from phasegrok.run import runfile
from phasegrok.run.runfile import RunFile, RunFileError
from phasegrok.run.stored import card_of, same_code
from phasegrok.studies.common import need_family


def network_of(card: Card) -> Network:
    """The network of a card.

    Raises
    ------
    InputError
        If it is another system, or of code that was not executed.
    """
    if card.parameters is None:  # nor is its family known
        raise InputError(f"{card.name} has code of its own, {card.model.code}: read it, and open "
                         "the run with trust=True to execute it")
    need_family(card, "network", "a file of weights")
    return card.build()


def of_run(path: Path, run: RunFile, replica: int = 0, step: int | str | None = None,
           trust: bool = False, own: Card | None = None) -> dict[str, np.ndarray]:
    """Weights of one replica by the names of the matrices.

    Parameters
    ----------
    path, run : Path, RunFile
        A run file and what it holds.
    replica : int
    step : int, str or None
        Step of a snapshot, or of the checkpoint; name of an event; None: the last snapshot, and in
        a run without snapshots the checkpoint.
    trust : bool
        Execute code of the card.
    own : Card, optional
        Of the user, who named it: a file of the same code needs no trust.

    Raises
    ------
    InputError
        If there are no such weights: one sentence with the steps that there are.
    """
    group = run.groups.get("weights", Group())
    steps = _steps(path, group, replica)
    if steps and step is None:
        step = max(steps, key=lambda name: steps[name][0])
    for name, (at, row) in steps.items():
        if step in (name, at):
            return {key: variable.data[row, replica].copy()
                    for key, variable in group.variables.items() if _is_matrix(variable.dims)}
    from phasegrok.networks.training.state import STEP  # Numba is loaded where it is needed

    state = runfile.read(path, with_state=True).state or {}
    if not state.keys() >= {"theta", "counters", "start_step"}:
        raise InputError(_none_there(path, replica, step, steps, None))
    _check_replica(path, replica, len(state["theta"]))
    end = int(state["counters"][replica, STEP] - state["start_step"])
    if step not in (None, end):
        raise InputError(_none_there(path, replica, step, steps, end))
    card = None if own is None or trust else same_code(path, run, own)
    card = card or card_of(path, run, trust)
    if own is not None and card.parameters is None:
        raise InputError(f"{path} was made by code, {', '.join(map(str, card.code_files))}, that "
                         f"is not that of {own.name} as it is now: read it, and give --trust to "
                         "execute it")
    return named(network_of(card), state["theta"][replica])


def read_weights(path: Path, source: Source, network: Network, card: Card) -> np.ndarray:
    """Weights theta of a network from a run file, or from a file of named matrices.

    ``card`` is that of the network: code of a run file that is its own is known to the user.

    Raises
    ------
    InputError
        If there are none, or they are not those of this network: one sentence.
    """
    try:
        if path.suffix in SUFFIXES:
            return flat(network, read_matrices(path))
        return flat(network, of_run(path, runfile.read(path), source.replica, source.step,
                                    card.trusted, card))
    except RunFileError as error:
        known = "" if path.suffix == ".h5" else (
            f"; weights are in a run file, or in named matrices of a {', '.join(SUFFIXES)} file")
        raise InputError(f"{error}{known}") from error
    except ValueError as error:
        where = "" if str(path) in str(error) else f"{path}: "
        raise InputError(f"{where}{error}") from error


def start_of(card: Card, network: Network) -> Callable[[], np.ndarray] | None:
    """What reads the weights of ``training.start_from``; None: they are drawn.

    A resume, which has the weights in its checkpoint, does not call it.
    """
    path, text = card.start_path, card.model.training.start_from
    if path is None or text is None:
        return None
    return lambda: read_weights(path, source_of(text), network, card)


def _is_matrix(dims: tuple[str, ...]) -> bool:
    return dims[:2] == ("snapshot", "replica") and len(dims) > 2


def _steps(path: Path, group: Group, replica: int) -> dict[int | str, tuple[int, int]]:
    """Step or event of each snapshot of a replica -> its step, and its row in the group."""
    if "step" not in group:
        return {}
    step_sr = group["step"]
    _check_replica(path, replica, step_sr.shape[1])
    names = group["snapshot"].tolist()
    return {names[row]: (int(at), row) for row, at in enumerate(step_sr[:, replica])
            if not math.isnan(at)}


def _check_replica(path: Path, replica: int, number: int) -> None:
    if not 0 <= replica < number:
        raise InputError(f"{path} has no replica {replica}: there are {number}, from 0 on")


def _none_there(path: Path, replica: int, step, steps, end: int | None) -> str:
    known = [f"{at} ({name})" if isinstance(name, str) else str(at)
             for name, (at, _) in steps.items()]
    known += [] if end is None or end in [at for at, _ in steps.values()] else [str(end)]
    if not known:
        return f"{path} holds no weights: it is no training of a network"
    return (f"{path} has no weights of replica {replica} at step {step}: there are those of "
            f"{', '.join(known)}")
