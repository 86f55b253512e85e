"""Exact canonical averages of the families of models that are solved at finite size.

One table from the kind of a card to the function that solves it; what is not solved has no entry.
"""

import functools
import math

import numpy as np
from scipy import special

from phasegrok.theory import curie_weiss, ising, mean_field_potts

_RARE, _FEW = 0.01, 8  # excitations of an East ring so rare that more than a few never meet


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
    r"""Transfer matrix: :math:`\lambda_\pm = e^K \cosh H \pm \sqrt{e^{2K}\sinh^2 H + e^{-2K}}`.

    Energies are taken from the lowest, whose Boltzmann factor is divided out: what is left neither
    overflows nor rounds where T is small.
    """
    N, J, h = p.N, p.J, abs(p.h)
    staggered = 2.0 * J + h < 0.0
    odd = staggered and N % 2 == 1  # one bond stays unsatisfied
    lowest = -N * (-J if staggered else J + h) - (2.0 * J + h if odd else 0.0)

    def excess(beta: float) -> float:  # <E> - lowest, by a complex step, exact to rounding
        b = beta * (1.0 + 1e-30j)
        cosh, sinh = 0.5 + 0.5 * np.exp(-2.0 * b * h), 0.5 - 0.5 * np.exp(-2.0 * b * h)
        # of both eigenvalues over the Boltzmann factor of a site in the lowest state
        up = np.exp(b * (2.0 * J + h)) if staggered else 1.0
        down = 1.0 if staggered else np.exp(-b * (2.0 * J + h))
        larger = up * cosh + np.sqrt((up * sinh) ** 2 + down**2)
        # the smaller over the larger is q - 1
        q_over_up = 2.0 * cosh / larger
        q = up * q_over_up
        if odd:  # 1 - (1 - q)^N over q is a sum without cancellation
            rest = np.log(q_over_up * ((1.0 - q) ** np.arange(N)).sum())
        else:
            rest = np.log(1.0 + (q - 1.0) ** N)
        return -float((N * np.log(larger) + rest).imag) / (1e-30 * beta)

    beta, d = 1.0 / temperature, 1e-5 / temperature
    slope = (excess(beta + d) - excess(beta - d)) / (2.0 * d)
    return {"energy": (lowest + excess(beta)) / N, "heat_capacity": -(beta**2) * slope / N}


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
    odds, N = math.exp(-p.J / temperature), p.N
    if N * odds < _RARE:  # terms of 1, 2, ... excitations, whose sums would cancel in what follows
        k = np.arange(1, min(N, _FEW) + 1)
        weight = special.comb(N, k) / N * odds ** (k - 1.0)
        weight /= weight.sum()
        number = float(weight @ (k - 1)) + 1.0
        variance = float(weight @ (k - number) ** 2)
    else:
        c = odds / (1.0 + odds)
        some = -math.expm1(N * math.log1p(-c))  # chance of at least one excitation
        number = N * c / some
        variance = number * (1.0 + (N - 1) * c) - number**2
    return {"energy": p.J * number / N, "order_parameter": number / N,
            "heat_capacity": (p.J / temperature) ** 2 * variance / N}


_SOLVERS = {
    "ising-2d": _square_lattice,
    "ising-chain": _chain,
    "curie-weiss": _curie_weiss,
    "potts-mean-field": _potts_mean_field,
    "east": _east,
}
