"""Snapshots: the steps at which a run keeps the weights of its replicas, and their group."""

import re
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator

from phasegrok.groups import Group
from phasegrok.networks.network import Network

_MOST = 10_000  # steps of a grid


def _checked(given: Any) -> Any:
    steps = given if isinstance(given, list) else []
    if not isinstance(given, str | list) or any(
            isinstance(s, bool) or not isinstance(s, int | float) or s % 1 for s in steps):
        raise ValueError("give none, events, log:N, or a list of whole numbers, as [0, 500, 2000]")
    if isinstance(given, str):
        grid = re.fullmatch(r"log:(\d{1,9})", given)
        if given not in ("none", "events") and not (grid and 2 <= int(grid[1]) <= _MOST):
            raise ValueError(f"give none, events, log:N with N from 2 to {_MOST}, or a list of "
                             "steps")
    elif not given or sorted({*given}) != given or given[0] < 0:
        raise ValueError("give each step once, ascending, from 0 on")
    return given


Snapshots = Annotated[str | list[int], BeforeValidator(_checked)]
""""none", "events", "log:N", or a list of steps."""


def snapshot_steps(snapshots: str | list[int], steps: int) -> np.ndarray:
    """Steps at which weights are kept, ascending; none where they are kept at events.

    Parameters
    ----------
    snapshots : Snapshots
        "log:N": step 0 and N - 1 steps from 1 to the last, evenly in their logarithm, rounded, each
        once; of a list those that the run reaches.
    steps : int
        Of the run.
    """
    if isinstance(snapshots, list):
        return np.array([s for s in snapshots if s <= steps], dtype=np.int64)
    if not snapshots.startswith("log:"):
        return np.zeros(0, dtype=np.int64)
    # from the last step down, which is there however few they are
    grid = np.geomspace(steps, 1.0, int(snapshots.removeprefix("log:")) - 1)
    return np.unique(np.append(np.rint(grid), 0.0).astype(np.int64))


_COORDINATES = ("snapshot", "replica", "step")


def check_names(network: Network) -> None:
    """Refuse matrices that are called as the coordinates of group ``weights``.

    Raises
    ------
    ValueError
        One sentence.
    """
    taken = [name for name in network.layout if name in _COORDINATES]
    if taken:
        raise ValueError(f"the matrix {taken[0]} is called as a coordinate of its snapshots: give "
                         "it another name, or leave out snapshots")


def _free(dim: str, network: Network) -> str:
    """A name that no matrix has."""
    return _free(f"{dim}_", network) if dim in network.layout else dim


def snapshot_group(network: Network, names: np.ndarray, step_sr: np.ndarray, theta_sr: np.ndarray,
                   replica: str) -> Group:
    """Group ``weights``: every matrix of every replica at every snapshot that some replica reached.

    Parameters
    ----------
    network : Network
    names : (S,) array
        Steps of the snapshots, or names of events.
    step_sr : (S, R) array
        Steps at which they were taken; NaN: not reached.
    theta_sr : (S, R, n_parameters) array
        Weights; NaN: not reached.
    replica : str
        What a replica is.
    """
    reached = np.isfinite(step_sr).any(axis=1)
    kept = slice(None) if reached.all() else reached  # of all there are views, of some copies
    group = Group()
    unit = "1" if names.dtype.kind == "U" else "steps"
    group.add("snapshot", names[kept], "snapshot", unit, "step or event of the snapshot")
    group.add("replica", np.arange(step_sr.shape[1]), "replica", "1", replica)
    group.add("step", step_sr[kept], ("snapshot", "replica"), "steps",
              "step of these weights; NaN: not reached")
    for name, (offset, shape) in network.layout.items():
        dims = [_free(f"{name}_{axis}", network) for axis in range(len(shape))]
        for dim, length in zip(dims, shape):
            group.add(dim, np.arange(length), dim, "1", f"index of {name}")
        part = theta_sr[kept, :, offset : offset + int(np.prod(shape))]
        group.add(name, part.reshape(*part.shape[:2], *shape), ("snapshot", "replica", *dims), "1",
                  f"weights {name}; NaN: not reached")
    return group
