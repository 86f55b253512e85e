r"""The overlap of two states: what a system says, or what follows from the states of its sites.

A system may have ``vectors(x_rn)``, rows whose scalar products over ``n_sites`` are the overlaps:
mean cosines for angles and clocks.  Every system of coordinates has it.  Without it the overlap is

.. math:: q = \frac1N\sum_i s_i s'_i, \qquad q = \frac{q_c f - 1}{q_c - 1}

for numbers such as spins, and for colours 0 ... :math:`q_c - 1` that agree on a fraction f of sites
(0 at random).
"""

import numpy as np

from phasegrok.systems.discrete import n_values, value_of

_STEP = 0.02  # of overlaps that take any value


def local_values(system) -> list[int]:
    """States of a site; none where the system says itself what an overlap is."""
    if hasattr(system, "vectors"):
        return []
    return [int(value_of(system, k)) for k in range(n_values(system))]


def _n_colours(system) -> int:
    """Number of colours 0, 1, ...; 0 where states are other numbers, or the system has vectors."""
    values = local_values(system)
    return len(values) if values == list(range(len(values))) else 0


def _rows(system, x_rn: np.ndarray) -> np.ndarray:
    return system.vectors(x_rn) if hasattr(system, "vectors") else x_rn.astype(np.float32)


def overlap(system, a_rn: np.ndarray, b_rn: np.ndarray) -> np.ndarray:
    """Overlap (R,) of each state in ``a_rn`` with that in ``b_rn``."""
    colours = _n_colours(system)
    if colours:
        return (colours * np.mean(a_rn == b_rn, axis=1) - 1.0) / (colours - 1.0)
    rows = _rows(system, a_rn), _rows(system, b_rn)
    return np.einsum("rn,rn->r", *rows, dtype=float) / system.n_sites


def all_overlaps(system, a_an: np.ndarray, b_bn: np.ndarray) -> np.ndarray:
    """Overlaps (A, B) of all pairs; for discrete states sums of integers, exact in any order."""
    colours = _n_colours(system)
    if colours:
        agree = np.zeros((len(a_an), len(b_bn)))
        for v in range(colours):
            agree += (a_an == v).astype(np.float32) @ (b_bn == v).astype(np.float32).T
        return (colours * agree / system.n_sites - 1.0) / (colours - 1.0)
    return (_rows(system, a_an) @ _rows(system, b_bn).T).astype(float) / system.n_sites


def overlap_values(system) -> tuple[float, float, int]:
    """Lowest overlap, step and number of the values that it takes; steps of .02 of any value."""
    values, colours, N = local_values(system), _n_colours(system), system.n_sites
    if not values:
        return -1.0, _STEP, round(2.0 / _STEP) + 1
    if colours:
        return -1.0 / (colours - 1), colours / (colours - 1) / N, N + 1
    products = sorted({a * b for a in values for b in values})
    gap = int(min(np.diff(products)))
    return float(products[0]), gap / N, (products[-1] - products[0]) // gap * N + 1
