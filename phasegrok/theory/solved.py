"""Exact canonical averages of the families of models that are solved at finite size.

One table from the kind of a card to the function that solves it; what is not solved has no entry.
"""

import functools
import math

import numpy as np

from phasegrok.theory import curie_weiss, east, ising, mean_field_potts


def exact_averages(kind: str, parameters, temperatures) -> dict[str, np.ndarray]:
    """Exact energy and heat capacity a site, and the order parameter where it is known.

    Parameters
    ----------
    kind : str
        Kind of the card.
    parameters : object
        The card's parameters (``L``, ``N``, ``J``, ...).
    temperatures : array_like, shape (K,)
        T in units of energy.

    Returns
    -------
    dict
        ``energy``, ``heat_capacity`` and perhaps ``order_parameter``, each of shape (K,); empty
        where the model is not solved.
    """
    solver = _SOLVERS.get(kind)
    rows = [solver(parameters, float(t)) for t in temperatures] if solver else []
    if not rows or not rows[0]:
        return {}
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _square_lattice(p, temperature: float) -> dict[str, float]:
    if p.h != 0.0 or p.J2 != 0.0 or p.J <= 0.0:
        return {}
    exact, n = ising.kaufman(p.L, temperature, p.J), p.L**2
    return {"energy": float(exact.energy) / n, "heat_capacity": float(exact.heat_capacity) / n}


def _chain(p, temperature: float) -> dict[str, float]:
    r"""Transfer matrix: :math:`\lambda_\pm = e^K \cosh H \pm \sqrt{e^{2K}\sinh^2 H + e^{-2K}}`."""

    def energy(beta: float) -> float:  # -d ln Z / d beta by a complex step, exact to rounding
        step = 1e-30
        K, H = (beta + 1j * step) * p.J, (beta + 1j * step) * p.h
        root = np.sqrt(np.exp(2.0 * K) * np.sinh(H) ** 2 + np.exp(-2.0 * K))
        mean = np.exp(K) * np.cosh(H)
        log_Z = p.N * np.log(mean + root) + np.log(1.0 + ((mean - root) / (mean + root)) ** p.N)
        return -float(log_Z.imag) / step

    beta, d = 1.0 / temperature, 1e-5 / temperature
    slope = (energy(beta + d) - energy(beta - d)) / (2.0 * d)
    return {"energy": energy(beta) / p.N, "heat_capacity": -(beta**2) * slope / p.N}


def _curie_weiss(p, temperature: float) -> dict[str, float]:
    exact = curie_weiss.thermodynamics(p.N, temperature, p.h, p.J2, p.J3)
    return {"energy": exact.energy / p.N, "heat_capacity": exact.heat_capacity / p.N,
            "order_parameter": exact.magnetisation}


_occupations = functools.lru_cache(maxsize=2)(mean_field_potts.occupations)


def _potts_mean_field(p, temperature: float) -> dict[str, float]:
    try:
        classes = _occupations(p.q, p.N)
    except ValueError:  # too many to enumerate: not solved at this size
        return {}
    exact = mean_field_potts.thermodynamics(classes, temperature, p.J)
    return {"energy": exact.energy / p.N, "heat_capacity": exact.heat_capacity / p.N,
            "order_parameter": exact.order_parameter}


def _east(p, temperature: float) -> dict[str, float]:
    """Independent sites, given that one is excited: the state without any is isolated."""
    free = east.thermodynamics(temperature / p.J)
    some = -math.expm1(p.N * math.log1p(-free.energy))  # chance of at least one excitation
    c = free.energy / some
    square = free.energy * (1.0 + (p.N - 1) * free.energy) / some  # <n^2> N
    return {"energy": p.J * c, "order_parameter": c,
            "heat_capacity": (p.J / temperature) ** 2 * (square - p.N * c**2)}


_SOLVERS = {
    "ising-2d": _square_lattice,
    "ising-chain": _chain,
    "curie-weiss": _curie_weiss,
    "potts-mean-field": _potts_mean_field,
    "east": _east,
}
