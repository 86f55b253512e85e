"""Curves of networks in training: what they were at the end."""

import math

import numpy as np

from phasegrok.groups import Group


def at_end(group: Group, name: str) -> np.ndarray:
    """A curve of the group ``training`` at the last step of every replica, (R,) or (R, matrices).

    Older files did not evaluate that step: of them the last known value, NaN where there is none.
    """
    if f"final_{name}" in group.variables:
        return group[f"final_{name}"]
    ends = []
    for curve in group[name]:
        known = curve[np.isfinite(curve.reshape(len(curve), -1)).all(axis=1)]
        ends.append(known[-1] if len(known) else np.full(curve.shape[1:], math.nan))
    return np.array(ends)
