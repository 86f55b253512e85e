"""Independent samples from exact weights, as a run would give them, with exact averages."""

import functools
import math

import numpy as np

from phasegrok.theory import curie_weiss, ising
from phasegrok.thermodynamics.curves import Reweighted, Series

LADDERS = 16
FIRST = (0.0, 1.0, 1.0)  # h, J2, J3 of Curie-Weiss spins: coexistence at T = 2.293
SYMMETRIC = (0.0, 1.0, 0.0)  # critical at T = 1, where +m and -m begin to coexist
FIELD = (1.2, 1.0, 1.0)  # beyond the critical point at h = 0.4014


def drawn(N, temperatures, couplings, n=400, seed=1, symmetric=False):
    """Series of Curie-Weiss spins."""
    rng = np.random.default_rng([seed, N])
    m_kr = []
    for T in temperatures:
        m, log_w = curie_weiss.log_weights(N, T, *couplings)
        p = np.exp(log_w - log_w.max())
        m_kr.append(rng.choice(m, (LADDERS, n), p=p / p.sum()))
    phi = np.array(m_kr)
    energy = N * curie_weiss.energy_per_spin(phi, *couplings)
    return Series(N, np.asarray(temperatures, float), energy, phi, symmetric)


def exact_peak(N, couplings, low, high):
    """Temperature and height of the peak of chi, from the exact weights on a fine grid."""
    T_t = np.linspace(low, high, 4001)
    chi_t = []
    for T in T_t:
        m, log_w = curie_weiss.log_weights(N, T, *couplings)
        p = np.exp(log_w - log_w.max())
        p /= p.sum()
        x = np.abs(m) if couplings == (0.0, 1.0, 0.0) else m
        chi_t.append(N * (p @ x**2 - (p @ x) ** 2) / T)
    return T_t[np.argmax(chi_t)], max(chi_t)


@functools.cache
def ising_weights(L):
    """ln g(E, M), E, m of every state class of a small lattice."""
    energy, M, g = ising.joint_density_of_states(L)
    e, m = np.nonzero(g)
    return np.log(g[e, m].astype(float)), energy[e].astype(float), M[m] / L**2


def ising_averages(L, T):
    """Averages of a lattice by summation, dU/dT by a difference."""
    log_g, E, m = ising_weights(L)

    def mean(T, x):
        p = np.exp(log_g - E / T - (log_g - E / T).max())
        return p @ x / p.sum()

    def U(T):
        return 1.0 - mean(T, m**4) / (3.0 * mean(T, m**2) ** 2)

    size = mean(T, abs(m))
    return {"energy": mean(T, E) / L**2, "order_parameter_abs": size,
            "binder": U(T), "binder_slope": (U(T + 1e-5) - U(T - 1e-5)) / 2e-5,
            "susceptibility": L**2 * (mean(T, m**2) - size**2) / T,
            "heat_capacity": (mean(T, E**2) - mean(T, E) ** 2) / (L**2 * T**2)}


def drawn_lattice(L, temperatures, rng, replicas=64, n=400):
    """Ising spins of a lattice at several temperatures, reweighted; every replica is a block."""
    log_g, E, m = ising_weights(L)
    series = []
    for T in temperatures:
        p = np.exp(log_g - E / T - (log_g - E / T).max())
        state = rng.choice(len(p), (replicas, n), p=p / p.sum())
        series.append((E[state], m[state]))
    energy, phi = (np.array(x) for x in zip(*series))
    return Reweighted(Series(L**2, np.array(temperatures), energy, phi, symmetric=True, size=L),
                      np.ones(len(temperatures)), replicas)


def jackknife(rows_r):
    """Error of row 0 from the others, each with one of 16 blocks left out."""
    return math.sqrt(15.0 / 16.0 * ((rows_r[1:] - rows_r[1:].mean()) ** 2).sum())
