r"""Exact averages of planar spins, unit vectors and fields on a ring, from transfer integrals.

XY ring of N spins at K = J/T [1]_: :math:`Z = \sum_m I_m(K)^N` with the modified Bessel functions,
and where its ends are turned by an angle, :math:`Z(\varphi) = \sum_m I_m(K)^N\cos m\varphi`.
Heisenberg ring [1]_: :math:`Z = \sum_{l\ge 0}(2l + 1)\,i_l(K)^N` with the spherical ones.

Fields on a ring, :math:`E = \sum_i V(\phi_i) + \tfrac{K}{2}\sum_i(\phi_i - \phi_{i+1})^2`:
:math:`Z = \sum_k\lambda_k^N` with the eigenvalues of the symmetric kernel
:math:`e^{-[V(x)/2 + V(y)/2 + K(x - y)^2/2]/T}` [2]_, here on the nodes of a Gauss-Legendre rule,
where both converge faster than any power.

References
----------
.. [1] M. E. Fisher, Amer. J. Phys. 32 (1964) 343; G. S. Joyce, Phys. Rev. 155 (1967) 478.
.. [2] D. J. Scalapino, M. Sears, R. A. Ferrell, Phys. Rev. B 6 (1972) 3409.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import ive

_NODES = 400
_DEEP = 45.0  # e^-45: what is higher than this over the minimum, in units of T, is left out
_NARROWEST = 2.5  # nodes in the width sqrt(T/K) of the kernel
_STEP = 1e-4  # of 1/T, relative, for the heat capacity


class Averages(NamedTuple):
    """Of the whole system."""

    energy: float
    heat_capacity: float


def _orders(K: float) -> np.ndarray:
    """The m of which I_m(K) is kept."""
    most = int(30.0 + 12.0 * np.sqrt(K) + 0.5 * K)
    return np.arange(-most, most + 1)


def xy_ring_helicity(N: int, J: float, T: float) -> float:
    """Helicity modulus of N planar spins on a ring, N times the curvature of -T ln Z by the angle.
    """
    m = _orders(J / T)
    bessel = ive(m, J / T)
    weight = (bessel / bessel.max()) ** N
    return float(N * T * (weight @ m**2) / weight.sum())


def xy_ring(N: int, J: float, T: float) -> Averages:
    """Energy and heat capacity of N planar spins on a ring, N >= 3."""
    K = J / T
    m = _orders(K)
    bessel = ive(m, K)  # times e^-K, as all that follow
    first = 0.5 * (ive(m - 1, K) + ive(m + 1, K))
    second = 0.25 * (ive(m - 2, K) + 2.0 * bessel + ive(m + 2, K))
    return _spin_ring(N, J, K, np.ones(len(m)), bessel, first, second)


def heisenberg_ring(N: int, J: float, T: float) -> Averages:
    """Energy and heat capacity of N unit vectors in space on a ring, N >= 3."""
    K = J / T
    l_ = np.arange(int(33.0 + 12.0 * np.sqrt(K) + 0.5 * K))
    value = np.sqrt(0.5 * np.pi / K) * ive(l_ + 0.5, K)  # i_l(K), times e^-K

    def slope(f: np.ndarray) -> np.ndarray:
        """(2 l + 1) i_l' = l i_(l-1) + (l + 1) i_(l+1), one l fewer."""
        k = l_[: len(f) - 1]
        return (k * np.append(0.0, f[:-2]) + (k + 1) * f[1:]) / (2 * k + 1)

    first = slope(value)
    second = slope(first)
    n = len(second)
    return _spin_ring(N, J, K, 2.0 * l_[:n] + 1.0, value[:n], first[:n], second)


def _spin_ring(N: int, J: float, K: float, number: np.ndarray, value: np.ndarray,
               first: np.ndarray, second: np.ndarray) -> Averages:
    """Of Z = sum ``number`` ``value``^N, with the derivatives of the eigenvalues by K."""
    weight = number * (value / value.max()) ** N
    safe = np.where(value > 0.0, value, 1.0)
    slope, curve = first / safe, second / safe
    weight /= weight.sum()
    mean = float(weight @ slope)
    square = float(weight @ ((N - 1) * slope**2 + curve))
    return Averages(-J * N * mean, K**2 * N * (square - N * mean**2))


def field_ring(N: int, V, K: float, T: float, reach: float) -> Averages:
    """Energy and heat capacity of N fields on a ring; K = 0: N sites by themselves.

    Parameters
    ----------
    N : int
    V : callable
        Energy of a site, of an array of fields.
    K : float
        Stiffness of the bonds.
    T : float
    reach : float
        The minima of V lie in (-reach, reach).

    Raises
    ------
    ValueError
        If T is so low that the rule does not resolve the kernel.
    """
    lowest = V(np.linspace(-reach, reach, 4001)).min()
    far = reach
    while V(np.array([-far, far])).min() - lowest < _DEEP * T:
        far *= 1.1
    x, w = np.polynomial.legendre.leggauss(_NODES)
    x, w = far * x, far * w
    if K > 0.0 and np.sqrt(T / K) < _NARROWEST * 2.0 * far / _NODES:
        raise ValueError(f"T = {T:g} is too low for {_NODES} nodes")
    cost = 0.5 * (V(x)[:, None] + V(x)) - lowest + 0.5 * K * (x[:, None] - x) ** 2
    measure = np.sqrt(w[:, None] * w)

    def excess(beta: float) -> float:
        """<E> over N times the lowest energy of a site."""
        kernel = measure * np.exp(-beta * cost)
        value, vector = np.linalg.eigh(kernel)
        share = (value / value[-1]) ** (N - 1)
        slope = np.einsum("ik,ij,jk->k", vector, kernel * cost, vector, optimize=True)
        return float(N * (share @ slope) / (share @ value))

    beta, step = 1.0 / T, _STEP / T
    slope = (excess(beta + step) - excess(beta - step)) / (2.0 * step)
    return Averages(N * lowest + excess(beta), -(beta**2) * slope)
