"""Multi-spin coding: variates, exact equilibrium, dynamics against the general kernel, layout."""

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from phasegrok.compiled import kernel
from phasegrok.dynamics.multi_spin import MultiSpin, fits
from phasegrok.dynamics.multi_spin_random import (
    BLOCK,
    GENERATORS,
    WORDS,
    fill_below,
    fill_bernoulli,
    generators,
    rates,
)
from phasegrok.dynamics.single_flip import sweeps
from phasegrok.rng import streams
from phasegrok.systems.ising import (
    ChainParameters,
    EdwardsAndersonParameters,
    GraphParameters,
    Lattice2DParameters,
    Lattice3DParameters,
)

REFERENCE = Path(__file__).resolve().parent.parent / "data" / "reference"
DYNAMICS = ("metropolis", "heat-bath")
ORDERS = ("random-site", "checkerboard")


def square(L, **parameters):
    return Lattice2DParameters(L=L, **parameters).build({})


def glass(L, dimension=2, seed=1, h=0.0):
    parameters = EdwardsAndersonParameters(L=L, dimension=dimension, disorder_seed=seed, h=h)
    return parameters.build(parameters.disorder(None))


def all_states(system):
    """E and M of all 2^N configurations."""
    N = system.n_sites
    index = np.arange(2**N, dtype=np.uint32)
    energy, M = np.zeros(2**N), np.zeros(2**N)
    spins = [1.0 - 2.0 * (index >> i & 1) for i in range(N)]
    for i in range(N):
        M += spins[i]
        for k in range(system.first[i], system.first[i + 1]):
            j = system.neighbour[k]
            if i < j:
                energy -= system.coupling[k] * spins[i] * spins[j]
    return energy - system.h * M, M


def moments(energy, M, weight):
    """Means of E, E^2, |M|, M^2 and M over weighted states."""
    weight = weight / weight.sum()
    return np.array([np.sum(weight * x) for x in (energy, energy**2, abs(M), M**2, M)])


def boltzmann(energy, temperature, states=1.0):
    return states * np.exp(-(energy - energy.min()) / temperature)


def replica_means(engine, temperature, R, n_sweeps, seed, burn=100):
    """Time averages of E, E^2, |M|, M^2, M of each replica after a burn-in, shape (5, R)."""
    replicas = engine.start(seed, "test", np.zeros(R, dtype=bool), 1)
    energy_rt, phi_rt = np.zeros((2, R, n_sweeps))
    engine.advance(replicas, 0, temperature, burn, energy_rt[:, :0], phi_rt[:, :0])
    engine.advance(replicas, 0, temperature, n_sweeps, energy_rt, phi_rt)
    return np.array([np.mean(x, axis=1)
                     for x in (energy_rt, energy_rt**2, abs(phi_rt), phi_rt**2, phi_rt)])


def z_scores(means_or, exact_o):
    """Replicas are independent: z of their mean, for each observable."""
    error = means_or.std(axis=1, ddof=1) / np.sqrt(means_or.shape[1])
    return (means_or.mean(axis=1) - exact_o) / error


# --------------------------------------------------------------------------------- variates


@kernel
def _bernoulli_blocks(state, compared, table, words, counts, lanes, pairs, n):
    """Set bits by level; by lane, and agreement with the next word and lane, of level 0."""
    for _ in range(n):
        fill_bernoulli(state, compared, table, words, BLOCK)
        for level in range(counts.shape[0]):
            for j in range(BLOCK):
                word = table[level * BLOCK + j]
                for lane in range(64):
                    bit = np.int64(word >> np.uint64(lane) & np.uint64(1))
                    counts[level] += bit
                    if level == 0:
                        lanes[lane] += bit
                        after = table[(j + 1) % BLOCK] >> np.uint64(lane) & np.uint64(1)
                        beside = word >> np.uint64((lane + 1) % 64) & np.uint64(1)
                        far = table[(j + GENERATORS) % BLOCK] >> np.uint64(lane) & np.uint64(1)
                        pairs[0] += bit * np.int64(after)
                        pairs[1] += bit * np.int64(beside)
                        pairs[2] += bit * np.int64(far)


def test_bernoulli_words_have_their_probabilities_and_no_correlations():
    """Frequencies of p from 1e-5 to 1 - 1e-3, of each lane, and of pairs, against binomials."""
    p = np.array([0.3, 0.5, 1e-5, 2.0**-14 * 1.5, 0.1716, 0.999, 0.0, 1.0])
    compared, table = rates(p)
    state = generators(streams(3, "variates", 1))[0]
    counts, lanes, pairs = np.zeros(8, np.int64), np.zeros(64, np.int64), np.zeros(3, np.int64)
    blocks = 400
    _bernoulli_blocks(state, compared, table, np.zeros(WORDS, np.uint64), counts, lanes, pairs,
                      blocks)
    n = blocks * BLOCK * 64
    assert counts[6] == 0 and counts[7] == n
    z = (counts[:6] - n * p[:6]) / np.sqrt(n * p[:6] * (1 - p[:6]))
    assert np.max(np.abs(z)) < 3.5
    chi_squared = np.sum((lanes - n / 64 * p[0]) ** 2) / (n / 64 * p[0] * (1 - p[0]))
    assert 0.001 < stats.chi2.sf(chi_squared, 64) < 0.999
    # products of neighbours, whose covariance has the variance (p (1 - p))^2 at fixed frequency
    frequency = counts[0] / n
    covariance = pairs / n - frequency**2
    assert np.max(np.abs(covariance)) < 3.5 * frequency * (1 - frequency) / np.sqrt(n)


def test_the_uniform_variate_behind_nested_levels_is_uniform():
    """[u < p_l] of many levels is u to their spacing: uniform by a chi-squared test, and nested.

    Levels that agree in their first digits are decided by different last digits; here none do.
    """
    p = np.arange(1, 64) / 64.0
    compared, table = rates(p)
    state = generators(streams(5, "nested", 1))[0]
    histogram = np.zeros(64, np.int64)
    for _ in range(12):
        fill_bernoulli(state, compared, table, np.zeros(WORDS, np.uint64), BLOCK)
        bits = np.unpackbits(table.view(np.uint8)).reshape(63, -1)
        assert np.all(bits[1:] >= bits[:-1])
        histogram += np.bincount(63 - bits.sum(axis=0), minlength=64)
    assert 0.001 < stats.chisquare(histogram).pvalue < 0.999


def test_lanes_decided_singly_are_uniform_too():
    """Variates u of lanes that agree with p in all leading digits, by p in 16ths of the last.

    Among 2^-14 of all lanes; thresholds (m + f/16) 2^-14 must be passed with probability
    proportional to m + f/16.
    """
    p = (1.0 + np.arange(16) / 16.0) * 2.0**-14
    compared, table = rates(p)
    state = generators(streams(6, "last", 1))[0]
    counts, blocks = np.zeros(16, np.int64), 1500
    words = np.zeros(WORDS, np.uint64)
    for _ in range(blocks):
        fill_bernoulli(state, compared, table, words, BLOCK)
        counts += np.bitwise_count(table).reshape(16, -1).sum(axis=1, dtype=np.int64)
    expected = blocks * BLOCK * 64 * p
    assert np.max(np.abs((counts - expected) / np.sqrt(expected))) < 3.5


def test_drawn_sites_are_uniform_and_not_correlated():
    """Chi-squared of sites, and of pairs of successive sites."""
    state = generators(streams(4, "sites", 1))[0]
    sites = np.zeros(200_000, np.uint64)
    fill_below(state, 36, sites, np.zeros(WORDS, np.uint64), len(sites))
    pair = (sites[:-1] * np.uint64(36) + sites[1:]).astype(np.int64)
    assert 0.001 < stats.chisquare(np.bincount(sites.astype(np.int64), minlength=36)).pvalue
    assert 0.001 < stats.chisquare(np.bincount(pair[::2], minlength=36 * 36)).pvalue


# ------------------------------------------------------------------------------- equilibrium


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("parameters", [dict(), dict(h=0.3), dict(J=-1.0, h=0.7)],
                         ids=["plain", "field", "antiferromagnet"])
def test_square_lattice_has_the_exact_moments(dynamics, order, parameters):
    system = square(4, **parameters)
    energy, M = all_states(system)
    exact = moments(energy, M, boltzmann(energy, 2.6))
    means = replica_means(MultiSpin((system,), dynamics, order), 2.6, 100, 1500, 11)
    assert np.max(np.abs(z_scores(means, exact))) < 3.5


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_chain_has_the_exact_moments(dynamics, order):
    system = ChainParameters(N=12, h=0.2).build({})
    energy, M = all_states(system)
    exact = moments(energy, M, boltzmann(energy, 1.5))
    means = replica_means(MultiSpin((system,), dynamics, order), 1.5, 64, 1500, 12)
    assert np.max(np.abs(z_scores(means, exact))) < 3.5


@pytest.mark.parametrize("order", ORDERS)
def test_samples_of_a_spin_glass_each_have_their_exact_moments(order):
    """Eight samples in 64 lanes: sign words by lane, in a field."""
    systems = tuple(glass(4, seed=s, h=0.25) for s in range(8))
    means = replica_means(MultiSpin(systems, "metropolis", order), 1.6, 64, 4000, 13)
    z = []
    for s, system in enumerate(systems):
        energy, M = all_states(system)
        exact = moments(energy, M, boltzmann(energy, 1.6))
        z.append(z_scores(means[:, 8 * s : 8 * s + 8], exact))
    # eight replicas give the error itself an error: Student's t with 7 degrees of freedom
    p = stats.t.sf(np.abs(z), 7)
    assert p.min() > 1e-4 and 0.001 < stats.kstest(p[:, 0], "uniform", (0, 0.5)).pvalue


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_the_reference_glass_has_its_exact_energy(dynamics):
    with open(REFERENCE / "edwards_anderson_L4_bonds.csv") as file:
        rows = np.array(list(csv.reader(file))[1:], dtype=float)
    with open(REFERENCE / "edwards_anderson_L4_gE.csv") as file:
        levels = np.array(list(csv.reader(file))[1:], dtype=float)
    parameters = EdwardsAndersonParameters(L=4, dimension=2)
    system = parameters.build(parameters.disorder(rows))
    energy, states = levels.T
    exact = moments(energy, np.zeros_like(energy), boltzmann(energy, 1.2, states))
    for order in ORDERS:
        means = replica_means(MultiSpin((system,), dynamics, order), 1.2, 128, 1500, 14)
        assert np.max(np.abs(z_scores(means, exact)[:2])) < 3.5
