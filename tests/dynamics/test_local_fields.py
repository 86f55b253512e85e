"""The fast kernel of Ising spins against enumerated systems and the general kernel."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from phasegrok.cards.kinds import parameters_class
from phasegrok.dynamics import local_fields
from phasegrok.dynamics.local_fields import SiteUpdates
from phasegrok.dynamics.single_flip import DYNAMICS, sweeps
from phasegrok.rng import streams
from phasegrok.statistics import mean_with_error
from phasegrok.systems import discrete
from phasegrok.theory import ising as ising_theory

NOTHING = np.empty(0)


def build(kind, rows=None, **parameters):
    """System of a kind."""
    model = parameters_class(kind)(**parameters)
    return model.build(model.disorder(rows))


def sample(updates, temperature, n_sweeps, seed, discard=500):
    """Series of E and Phi after each sweep, and the last configuration with [E, Phi]."""
    system = updates.system
    rng = streams(seed, ["local fields"], 1)[0]
    sigma = np.ones(system.n_sites, dtype=np.int8)
    cache = np.zeros(system.cache_size, dtype=np.int64)
    values = np.array(discrete.prepare(system, sigma, cache))
    updates.advance(temperature, discard, sigma, cache, values, rng, NOTHING, NOTHING)
    energy_t, phi_t = np.zeros((2, n_sweeps))
    updates.advance(temperature, n_sweeps, sigma, cache, values, rng, energy_t, phi_t)
    return energy_t, phi_t, sigma, values


def check(series, exact, precision=0.0075):
    """Four errors, which are small enough to see 3 %."""
    estimate = mean_with_error(series)
    assert estimate.error < precision * abs(exact)
    assert abs(estimate.value - exact) < 4.0 * estimate.error


@pytest.mark.parametrize("dynamics, order, h", [
    ("metropolis", "random-site", 0.0), ("heat-bath", "random-site", 0.0),
    ("metropolis", "sequential", 0.0), ("heat-bath", "sequential", 0.31),
    ("metropolis", "random-site", -0.31)])
def test_square_lattice_of_sixteen_spins(dynamics, order, h):
    temperature = 2.6
    energy, M, number = ising_theory.joint_density_of_states(4)
    energy = energy[:, None] - h * M
    p = number.astype(float) * np.exp(-(energy - energy.min()) / temperature)
    p /= p.sum()
    updates = SiteUpdates(build("ising-2d", L=4, h=h), dynamics, order)
    energy_t, phi_t, sigma, values = sample(updates, temperature, 400_000, 31)
    check(energy_t, (p * energy).sum())
    check(energy_t**2, (p * energy**2).sum())
    for power in (1, 2, 4):
        check(np.abs(phi_t) ** power, p.sum(axis=0) @ np.abs(M) ** power)
    if h != 0.0:
        check(phi_t, p.sum(axis=0) @ M)
    exact = discrete.prepare(updates.system, sigma, np.zeros(1, dtype=np.int64))
    assert tuple(values) == pytest.approx(exact, abs=1e-9)


def graph(kind):
    """Ten spins with unequal couplings, some negative, and numbers of neighbours from 2 to 7."""
    rng = np.random.default_rng(12)
    pairs = np.array(list(itertools.combinations(range(10), 2)))
    ring = pairs[:, 1] - pairs[:, 0] == 1
    pairs = np.concatenate([pairs[ring], rng.permutation(pairs[~ring])[:11]])
    if kind == "no common step":
        J = np.sqrt(rng.integers(2, 40, len(pairs))) / 6.0
    elif kind == "many levels":
        J = rng.integers(1, 700, len(pairs)) / 700.0
    else:
        J = rng.integers(1, 8, len(pairs)) / 7.0
    return np.column_stack([pairs, J * rng.choice([-1, 1, 1], len(pairs))])


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("kind", ["few levels", "many levels", "no common step"])
def test_unequal_couplings_and_a_field(kind, dynamics):
    temperature, h, rows = 0.8, 0.123456, graph(kind)
    system = local_graph(rows, h)
    states = np.array(list(itertools.product([-1, 1], repeat=10)))
    ends = rows[:, :2].astype(int)
    M = states.sum(axis=1)
    energy = -(states[:, ends[:, 0]] * states[:, ends[:, 1]]) @ rows[:, 2] - h * M
    p = np.exp(-(energy - energy.min()) / temperature)
    p /= p.sum()
    updates = SiteUpdates(system, dynamics)
    assert (updates.scaled.coupling.dtype == np.int64) == (kind == "no common step")
    energy_t, phi_t, sigma, values = sample(updates, temperature, 600_000, 32)
    check(energy_t, p @ energy)
    check(energy_t**2, p @ energy**2)
    check(phi_t**2, p @ M**2.0)
    exact = discrete.prepare(system, sigma, np.zeros(1, dtype=np.int64))
    assert tuple(values) == pytest.approx(exact, abs=1e-9)


def local_graph(rows, h):
    """The graph; its number of energy levels is of no concern here."""
    return build("ising-graph", rows, h=0.0)._replace(h=h, n_energies=1)


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("kind, parameters, temperature", [
    ("ising-2d", dict(L=12, h=0.1), 1.5), ("ising-2d", dict(L=12), 0.0),
    ("ising-3d", dict(L=5, J=0.1, h=-0.6), 0.0),  # 6 J = -h to rounding: ties
    ("edwards-anderson", dict(L=12, dimension=2, couplings="gaussian"), 0.6),
    ("edwards-anderson", dict(L=12, dimension=2, couplings="gaussian", h=0.2), 0.0),
    ("edwards-anderson", dict(L=5, dimension=3), 0.9)])
def test_relaxation_is_that_of_the_general_kernel(kind, parameters, temperature, dynamics):
    """E and M of many quenches from parallel spins turned at random, at several times."""
    system = build(kind, **parameters)
    n, n_runs = system.n_sites, 600
    updates = SiteUpdates(system, dynamics)
    results = []
    for name in ("fast", "general"):
        rng_r = streams(33, [name, kind, temperature], n_runs)
        series = np.zeros((2, n_runs, 8))
        for r in range(n_runs):
            sigma = np.ones(n, dtype=np.int8)
            sigma[np.random.default_rng(r).permutation(n)[: n // 3]] = -1
            cache = np.zeros(1, dtype=np.int64)
            values = np.array(discrete.prepare(system, sigma, cache))
            if name == "fast":
                updates.advance(temperature, 8, sigma, cache, values, rng_r[r], *series[:, r])
            else:
                sweeps(system, bool(DYNAMICS[dynamics]), temperature, 8, sigma, cache, values,
                       rng_r[r], *series[:, r])
        results.append(series)
    fast, general = results
    # the starts are the same in both: differences of pairs
    z = stats.ttest_rel(fast, general, axis=1).statistic
    assert np.all(np.abs(z) < 4.5)
    assert (z**2).mean() < 2.5
    error = fast[0].std(axis=0, ddof=1) / math.sqrt(n_runs)
    assert np.all(error < 0.007 * np.abs(fast[0].mean(axis=0)))
    # and so is the scatter between runs: the error of ln(variance) is 2/sqrt(n_runs)
    log_ratio = np.log(fast.var(axis=1) / general.var(axis=1))
    assert np.all(np.abs(log_ratio) < 4.5 * 2.0 / math.sqrt(n_runs))


def test_sites_and_words_are_uniform_and_independent():
    rng = streams(34, "draw", 1)[0]
    n_sites, n = 37, 1024
    site, word = np.empty((400, n), dtype=np.uint32), np.empty((400, n), dtype=np.uint64)
    for k in range(400):
        local_fields.draw(rng, n_sites, False, 0, n, site[k], word[k])
    u = word.astype(float) / 2.0**64
    assert stats.kstest(u.ravel(), "uniform").pvalue > 1e-3
    assert stats.kstest(-np.log(u.ravel()), "expon").pvalue > 1e-3
    assert stats.chisquare(np.bincount(site.ravel(), minlength=n_sites)).pvalue > 1e-3
    pairs = site[:, :-1].ravel() * n_sites + site[:, 1:].ravel()
    assert stats.chisquare(np.bincount(pairs, minlength=n_sites**2)).pvalue > 1e-3
    table = np.histogram2d(site.ravel(), u.ravel(), [np.arange(n_sites + 1), np.linspace(0, 1, 9)])
    assert stats.chi2_contingency(table[0]).pvalue > 1e-3
    low_bits = (word.ravel() >> np.uint64(20)) & np.uint64(15)
    assert stats.chisquare(np.bincount(low_bits.astype(int), minlength=16)).pvalue > 1e-3
    for lag in (1, 2, 4, 8):
        r = np.corrcoef(u[:, :-lag].ravel(), u[:, lag:].ravel())[0, 1]
        assert abs(r) * math.sqrt(u.size) < 4.0
    across = np.corrcoef(u[:-1].ravel(), u[1:].ravel())[0, 1]
    assert abs(across) * math.sqrt(u.size) < 4.0


@pytest.mark.parametrize("order, kind, parameters, temperature", [
    ("random-site", "ising-2d", dict(L=40), 2.2), ("sequential", "ising-2d", dict(L=6), 2.2),
    ("random-site", "edwards-anderson", dict(L=4, dimension=3, couplings="gaussian"), 1.0)])
def test_blocks_give_the_same_bits(order, kind, parameters, temperature):
    system = build(kind, **parameters)
    updates = SiteUpdates(system, "metropolis", order)
    ends = []
    for blocks in ([30], [1, 9, 20]):
        rng = streams(35, "blocks", 1)[0]
        sigma, cache = np.ones(system.n_sites, dtype=np.int8), np.zeros(1, dtype=np.int64)
        values = np.array(discrete.prepare(system, sigma, cache))
        series = []
        for n in blocks:
            energy_t, phi_t = np.zeros((2, n))
            updates.advance(temperature, n, sigma, cache, values, rng, energy_t, phi_t)
            series.append(np.stack([energy_t, phi_t]))
        ends.append([np.concatenate(series, axis=1), sigma, values, rng])
        assert tuple(values) == pytest.approx(discrete.prepare(system, sigma, cache), abs=1e-9)
    for a, b in zip(*ends):
        assert np.array_equal(a, b)


def test_other_systems_are_moved_by_the_general_kernel():
    system = build("potts-2d", L=4, q=3)
    updates = SiteUpdates(system, "heat-bath")
    assert updates.name == "heat-bath, random-site order"
    energy_t, _, _, values = sample(updates, 1.0, 20, 36, discard=0)
    rng, sigma = streams(36, ["local fields"], 1)[0], np.ones(16, dtype=np.int8)
    cache = np.zeros(3, dtype=np.int64)
    again = np.array(discrete.prepare(system, sigma, cache))
    other_t = np.zeros(20)
    sweeps(system, True, 1.0, 20, sigma, cache, again, rng, other_t, np.zeros(20))
    assert np.array_equal(energy_t, other_t) and np.array_equal(values, again)
    with pytest.raises(ValueError, match="sequential"):
        SiteUpdates(system, "heat-bath", "sequential")
    with pytest.raises(ValueError, match="choose from"):
        SiteUpdates(system, "glauber")


def test_free_and_single_bond_spins():
    """No couplings at all: independent spins in a field; sites without neighbours beside others."""
    rows = np.array([[0, 1, 0.0], [2, 3, 0.7]])
    _, phi_t, _, _ = sample(SiteUpdates(local_graph(rows, 0.4), "metropolis"), 1.1,
                                   200_000, 37)
    K, H = 0.7 / 1.1, 0.4 / 1.1
    pair = math.exp(K) * 2.0 * math.sinh(2.0 * H) / (
        math.exp(K) * math.cosh(2.0 * H) + math.exp(-K))
    check(phi_t, 2.0 * math.tanh(H) + pair)
