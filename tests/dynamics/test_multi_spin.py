"""Multi-spin coding: variates, exact equilibrium, dynamics against the general kernel, layout."""

import csv

import numpy as np
import pytest
from repository import REFERENCE
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


# ---------------------------------------------------------- energies, layouts, the interface


def energies_of(engine, replicas, k=0):
    """E and M of the unpacked configurations, from the bond lists."""
    R, S = replicas.energy.shape[1], len(engine.systems)
    spins = engine.unpacked(replicas.configurations[k])[:R].astype(float)
    out = np.zeros((2, R))
    for r in range(R):
        system = engine.systems[r // (R // S)]
        ends = np.repeat(np.arange(system.n_sites), np.diff(system.first))
        pairs = np.sum(system.coupling * spins[r, ends] * spins[r, system.neighbour])
        out[1, r] = spins[r].sum()
        out[0, r] = -0.5 * pairs - system.h * out[1, r]
    return out


CASES = {
    "square": lambda: MultiSpin((square(12, h=0.1),), "heat-bath", "checkerboard"),
    "odd square": lambda: MultiSpin((square(7, J=-1.0),), "metropolis", "random-site"),
    "chain": lambda: MultiSpin((ChainParameters(N=2000).build({}),), "metropolis", "checkerboard"),
    "cube": lambda: MultiSpin((Lattice3DParameters(L=6).build({}),), "metropolis", "checkerboard"),
    "glasses": lambda: MultiSpin(
        tuple(glass(6, 3, s, 0.1) for s in range(3)), "heat-bath", "checkerboard"),
    "glasses, random sites": lambda: MultiSpin(
        tuple(glass(5, 3, s, 0.1) for s in range(3)), "metropolis", "random-site"),
}


@pytest.mark.parametrize("case", CASES)
def test_energy_and_magnetisation_are_those_of_the_configurations(case):
    """At the start, after sweeps recorded and not; 69 replicas leave lanes of a word over."""
    engine = CASES[case]()
    replicas = engine.start(1, case, np.arange(69) < 5, 2)
    np.testing.assert_allclose([replicas.energy[0], replicas.phi[0]], energies_of(engine, replicas),
                               atol=1e-9)
    assert np.all(replicas.phi[:, :5] == engine.systems[0].n_sites)
    assert np.all(replicas.phi[:, 5:] < engine.systems[0].n_sites)
    energy_rt, phi_rt = np.zeros((2, 69, 3))
    engine.advance(replicas, 1, 2.0, 3, energy_rt, phi_rt)
    np.testing.assert_allclose([energy_rt[:, 2], phi_rt[:, 2]], energies_of(engine, replicas, 1),
                               atol=1e-9)
    engine.advance(replicas, 1, 2.0, 2, energy_rt[:, :0], phi_rt[:, :0])
    np.testing.assert_allclose([replicas.energy[1], replicas.phi[1]],
                               energies_of(engine, replicas, 1), atol=1e-9)


@pytest.mark.parametrize("make", [
    lambda: MultiSpin((square(128),), "metropolis", "checkerboard"),
    lambda: MultiSpin(tuple(glass(128, 2, s, 0.2) for s in range(2)), "heat-bath", "checkerboard"),
], ids=["square", "glasses"])  # fmt: skip
def test_stripes_keep_one_lattice_in_64_lanes(make):
    """Energies by the bond list see every bond, those between slabs with the rest."""
    engine = make()
    replicas = engine.start(1, "stripes", np.array([True, False, False, False]), 1)
    assert replicas.configurations.shape == (1, 4, 256)
    np.testing.assert_allclose([replicas.energy[0], replicas.phi[0]], energies_of(engine, replicas))
    energy_rt, phi_rt = np.zeros((2, 4, 5))
    engine.advance(replicas, 0, 2.0, 5, energy_rt, phi_rt)
    np.testing.assert_allclose([energy_rt[:, 4], phi_rt[:, 4]], energies_of(engine, replicas))


def test_stripes_and_replicas_agree_with_the_exact_energy():
    """Two layouts of the same dynamics against Onsager, T = 3 where L = 128 is infinite."""
    from phasegrok.theory.ising import onsager_energy

    exact = float(onsager_energy(3.0))
    engine = MultiSpin((square(128),), "metropolis", "checkerboard")
    for R, seed in ((32, 1), (64, 2)):
        replicas = engine.start(seed, "onsager", np.zeros(R, dtype=bool), 1)
        assert replicas.configurations.shape[2] == (256 if R < 64 else 128**2)
        energy_rt, phi_rt = np.zeros((2, R, 120))
        engine.advance(replicas, 0, 3.0, 60, energy_rt[:, :0], phi_rt[:, :0])
        engine.advance(replicas, 0, 3.0, 120, energy_rt, phi_rt)
        mean_r = energy_rt.mean(axis=1) / 128**2
        z = (mean_r.mean() - exact) / (mean_r.std(ddof=1) / np.sqrt(R))
        assert abs(z) < 3.5
        assert mean_r.std() / np.sqrt(R) < 1e-3 * abs(exact)


@pytest.mark.parametrize("order", ORDERS)
def test_cut_into_blocks_a_run_has_the_same_bits(order):
    engine = MultiSpin(tuple(glass(6, 2, s) for s in range(2)), "metropolis", order)
    runs = []
    for blocks in ([10], [5, 5], [1, 7, 2]):
        replicas = engine.start(7, "cut", np.zeros(130, dtype=bool), 1)
        series = []
        for n in blocks:
            energy_rt, phi_rt = np.zeros((2, 130, n))
            engine.advance(replicas, 0, 1.0, n, energy_rt, phi_rt)
            series.append(energy_rt)
        runs.append((np.concatenate(series, axis=1), replicas))
    for energy_rt, replicas in runs[1:]:
        assert np.array_equal(energy_rt, runs[0][0])
        assert np.array_equal(replicas.configurations, runs[0][1].configurations)
        assert np.array_equal(replicas.rng, runs[0][1].rng)


def test_the_result_does_not_depend_on_the_number_of_threads(monkeypatch):
    from phasegrok import compiled

    found = []
    for n in (1, 3):
        monkeypatch.setattr(compiled, "n_threads", lambda n=n: n)
        engine = MultiSpin((square(8),), "metropolis", "checkerboard")
        replicas = engine.start(7, "threads", np.zeros(200, dtype=bool), 1)
        engine.advance(replicas, 0, 2.0, 20, *np.zeros((2, 200, 0)))
        found.append(replicas.configurations)
    assert np.array_equal(*found)


@pytest.mark.parametrize("L, R", [(8, 70), (128, 6)], ids=["replicas", "stripes"])
def test_overlaps_neighbours_and_exchange(L, R):
    """Each against the unpacked spins."""
    engine = MultiSpin((square(L),), "metropolis", "checkerboard")
    replicas = engine.start(3, "overlap", np.zeros(R, dtype=bool), 2)
    for k in range(2):
        engine.advance(replicas, k, 2.5, 3, *np.zeros((2, R, 0)))
    low, high = (replicas.configurations[k].copy() for k in range(2))
    spins = [engine.unpacked(x)[:R].astype(float) for x in (low, high)]
    np.testing.assert_allclose(engine.overlap(low, high)[:R], np.mean(spins[0] * spins[1], axis=1))
    swapped = engine.unpacked(engine.neighbours(low))[:R]
    assert np.array_equal(swapped[0::2], spins[0][1::2])
    assert np.array_equal(swapped[1::2], spins[0][0::2])
    accepted_r = np.arange(R) % 3 == 0
    energy = replicas.energy.copy()
    engine.exchange(replicas, 0, accepted_r)
    assert np.array_equal(replicas.energy[0], np.where(accepted_r, energy[1], energy[0]))
    assert np.array_equal(engine.unpacked(replicas.configurations[1])[:R],
                          np.where(accepted_r[:, None], *spins))
    np.testing.assert_allclose(replicas.energy[0], energies_of(engine, replicas, 0)[0])


def test_what_does_not_fit_is_refused_with_the_reason():
    gaussian = EdwardsAndersonParameters(L=4, dimension=2, couplings="gaussian")
    graph = GraphParameters()
    ring = np.array([[0, 1, 1.0], [1, 2, 1.0], [2, 0, 1.0]])
    for systems, order, words in (
        ((gaussian.build(gaussian.disorder(None)),), "random-site", "one strength"),
        ((square(6, J2=0.5),), "random-site", "nearest neighbours only"),
        ((graph.build(graph.disorder(ring)),), "random-site", "periodic chain, square"),
        ((glass(4), glass(6)), "random-site", "the same lattice"),
        ((square(5),), "checkerboard", "even size"),
    ):
        assert words in fits(systems, order)
        with pytest.raises(ValueError, match=words):
            MultiSpin(systems, "metropolis", order)
    assert fits((square(5),)) == "" and fits((glass(4), glass(4, seed=2)), "checkerboard") == ""


# --------------------------------------------- dynamics of random sites that the lanes share


def general_series(system, heat_bath, temperature, n_sweeps, n_runs, up, seed):
    """E and M of independent runs of the general kernel, (2, runs, sweeps)."""
    out = np.zeros((2, n_runs, n_sweeps))
    cache = np.zeros(1, np.int64)
    for r, rng in enumerate(streams(seed, "general", n_runs)):
        if up:
            sigma = np.ones(system.n_sites, np.int8)
        else:
            random = np.random.default_rng(rng)
            sigma = (2 * random.integers(0, 2, system.n_sites) - 1).astype(np.int8)
        bonds = 0.5 * np.sum(system.coupling * np.repeat(sigma, np.diff(system.first))
                             * sigma[system.neighbour])
        values = np.array([-bonds - system.h * sigma.sum(), float(sigma.sum())])
        sweeps(system, heat_bath, temperature, n_sweeps, sigma, cache, values, rng,
               out[0, r], out[1, r])
    return out


def word_series(engine, temperature, n_sweeps, R, up, seed):
    """The same of multi-spin replicas."""
    replicas = engine.start(seed, "words", np.full(R, up), 1)
    out = np.zeros((2, R, n_sweeps))
    engine.advance(replicas, 0, temperature, n_sweeps, out[0], out[1])
    return out


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("make, temperature", [
    (lambda: square(16), 2.4), (lambda: Lattice3DParameters(L=6).build({}), 4.2),
    (lambda: glass(6, 3, 2), 1.2), (lambda: ChainParameters(N=200).build({}), 1.0),
], ids=["square", "cube", "glass", "chain"])  # fmt: skip
def test_relaxation_from_up_is_that_of_the_general_kernel(make, temperature, dynamics):
    """E and M after 1, 2, 5 and 20 sweeps; words, whose lanes share their sites, are the units."""
    system = make()
    engine = MultiSpin((system,), dynamics, "random-site")
    times = np.array([1, 2, 5, 20]) - 1
    n_words, n_runs = 120, 3000
    words = word_series(engine, temperature, 20, 64 * n_words, True, 21)[:, :, times]
    general = general_series(system, dynamics == "heat-bath", temperature, 20, n_runs, True, 22)
    general = general[:, :, times]
    by_word = words.reshape(2, n_words, 64, 4).mean(axis=2)
    error = np.sqrt(by_word.var(axis=1, ddof=1) / n_words + general.var(axis=1, ddof=1) / n_runs)
    z = (by_word.mean(axis=1) - general.mean(axis=1)) / error
    assert np.max(np.abs(z)) < 3.5
    assert np.all(error < 0.006 * system.n_sites * np.array([[system.dimension], [1]]))


@pytest.mark.slow
def test_common_sites_correlate_lanes_as_much_as_they_must():
    """Infinite temperature: M is the number U of sites not drawn yet plus independent spins.

    Of m draws among N sites, <U> = N (1 - 1/N)^m and <U (U - 1)> = N (N - 1) (1 - 2/N)^m exactly;
    the covariance of two lanes of a word is the variance of U, that of lanes of two words is 0.
    """
    system, n_words, n_starts = square(4), 3000, 25
    N, sweeps_made = system.n_sites, 2
    engine = MultiSpin((system,), "heat-bath", "random-site")
    replicas = engine.start(25, "words", np.ones(64 * n_words, dtype=bool), 1)
    up, M = replicas.configurations.copy(), []
    for _ in range(n_starts):  # each with new random numbers
        replicas.configurations[:] = up
        engine.advance(replicas, 0, 1e15, sweeps_made, *np.zeros((2, 64 * n_words, 0)))
        M.append(replicas.phi[0].copy())
    M, n_words = np.concatenate(M), n_words * n_starts
    m = N * sweeps_made
    mean = N * (1 - 1 / N) ** m
    variance = mean + N * (N - 1) * (1 - 2 / N) ** m - mean**2
    by_word = M.reshape(n_words, 64)
    of_means = by_word.mean(axis=1).var(ddof=1)
    covariance_w = ((by_word.sum(axis=1) - 64 * mean) ** 2
                    - np.sum((by_word - mean) ** 2, axis=1)) / (64 * 63)
    assert abs(M.mean() - mean) < 3.5 * np.sqrt(of_means / n_words)
    error = covariance_w.std(ddof=1) / np.sqrt(n_words)
    assert abs(covariance_w.mean() - variance) < 3.5 * error < 0.03 * variance
    between = np.mean((by_word[1:] - mean) * (by_word[:-1] - mean))
    assert abs(between) < 3.5 * M.var() / np.sqrt(64 * n_words)


def test_lanes_that_share_sites_stay_independent_in_equilibrium():
    """Overlaps of two lanes with the same sites: <q> = 0 and <q^2> that of independent copies.

    That is sum_ij <s_i s_j>^2 / N^2, here by enumeration; shared sites must not add to it.
    """
    system, T, n_words = square(4), 2.8, 600
    engine = MultiSpin((system,), "metropolis", "random-site")
    replicas = engine.start(31, "overlaps", np.zeros(64 * n_words, dtype=bool), 1)
    empty = np.zeros((64 * n_words, 0))
    q = []
    for _ in range(12):
        engine.advance(replicas, 0, T, 40, empty, empty)
        a = replicas.configurations[0]
        q.append(engine.overlap(a, engine.neighbours(a))[::2].reshape(n_words, 32))
    q_twp = np.array(q)[2:]
    q2_w, q_w = (q_twp**2).mean(axis=(0, 2)), q_twp.mean(axis=(0, 2))

    p = boltzmann(all_states(system)[0], T)
    s = 1.0 - 2.0 * (np.arange(2**16)[:, None] >> np.arange(16) & 1)
    exact = np.mean(((s.T * p) @ s / p.sum()) ** 2)
    error = q2_w.std(ddof=1) / np.sqrt(n_words)
    assert abs(q2_w.mean() - exact) < 3.5 * error < 0.03 * exact
    assert abs(q_w.mean()) < 3.5 * q_w.std(ddof=1) / np.sqrt(n_words)


def first_passage(phi_rt, threshold):
    """First sweep after which M <= threshold; every run has one."""
    crossed = phi_rt <= threshold
    assert crossed.any(axis=1).all()
    return 1.0 + crossed.argmax(axis=1)


def test_waiting_times_of_a_reversal_are_those_of_the_general_kernel():
    """Nucleation after the field is reversed: mean and distribution of the waiting times.

    Lanes of a word are not correlated by their common sites: the variance of word means is that
    of independent runs.
    """
    system, T, n_words, n_sweeps = square(16, h=-0.35), 1.7, 16, 1500
    engine = MultiSpin((system,), "metropolis", "random-site")
    words = first_passage(word_series(engine, T, n_sweeps, 64 * n_words, True, 41)[1], 0.0)
    general = first_passage(general_series(system, False, T, n_sweeps, 300, True, 42)[1], 0.0)
    means_w = words.reshape(n_words, 64).mean(axis=1)
    error = np.sqrt(means_w.var(ddof=1) / n_words + general.var(ddof=1) / len(general))
    assert abs(means_w.mean() - general.mean()) < 3.5 * error
    assert stats.ks_2samp(words, general).pvalue > 0.001
    ratio = means_w.var(ddof=1) / (words.var(ddof=1) / 64) * (n_words - 1)
    assert 0.001 < stats.chi2.sf(ratio, n_words - 1) < 0.999
    assert general.mean() > 30.0


# --------------------------------------------------------------------------- the East model


def east_master_equation(N, J, temperature, dynamics, n_updates):
    """Mean and variance of the number of excitations after updates at random sites, from all
    excited: powers of the transition matrix of all 2^N states."""
    states = np.arange(2**N)
    P = np.zeros((2**N, 2**N))
    w = np.exp(-J / temperature)
    up, down = (w, 1.0) if dynamics == "metropolis" else (w / (1 + w), 1 / (1 + w))
    for i in range(N):
        free = states >> (i - 1) % N & 1
        excited = states >> i & 1
        p = free * np.where(excited, down, up) / N
        P[states, states ^ (1 << i)] += p
        P[states, states] += 1.0 / N - p
    number = np.array([int(s).bit_count() for s in states])
    law = np.zeros(2**N)
    law[-1] = 1.0
    law = law @ np.linalg.matrix_power(P, n_updates)
    mean = law @ number
    return mean, law @ number**2 - mean**2


@pytest.mark.parametrize("dynamics", [
    DYNAMICS[0], *[pytest.param(name, marks=pytest.mark.slow) for name in DYNAMICS[1:]]])
def test_east_model_relaxes_as_its_master_equation_says(dynamics):
    """Mean and variance of the excitations after 1, 3, 10 and 60 sweeps of eight sites."""
    from phasegrok.dynamics.multi_spin_east import MultiSpinEast
    from phasegrok.systems.east import Parameters

    engine, n_words, now = MultiSpinEast((Parameters(N=8, J=1.0).build({}),), dynamics), 12000, 0
    replicas = engine.start(51, "east", np.ones(64 * n_words, dtype=bool), 1)
    for t in (1, 3, 10, 60):
        engine.advance(replicas, 0, 0.7, t - now, *np.zeros((2, 64 * n_words, 0)))
        now = t
        mean, variance = east_master_equation(8, 1.0, 0.7, dynamics, 8 * t)
        by_word = replicas.energy[0].reshape(n_words, 64)
        for of_words, exact in ((by_word.mean(axis=1), mean),
                                (((by_word - mean) ** 2).mean(axis=1), variance)):
            error = of_words.std(ddof=1) / np.sqrt(n_words)
            assert abs(of_words.mean() - exact) < 3.5 * error
            assert error < 0.01 * exact


def test_east_model_starts_runs_and_resumes_as_it_says():
    from phasegrok.dynamics.multi_spin_east import MultiSpinEast
    from phasegrok.systems.east import Parameters

    engine = MultiSpinEast((Parameters(N=3, J=2.0).build({}),), "heat-bath")
    replicas = engine.start(1, "east", np.arange(100) < 2, 1)
    whole = engine.start(1, "east", np.arange(100) < 2, 1)
    spins = engine.unpacked(replicas.configurations[0])[:100]
    assert np.all(replicas.phi[0, :2] == 1.0) and np.all(replicas.phi > 0.0)
    assert {tuple(s) for s in spins[2:].tolist()} == {
        (a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1) if a + b + c}
    series = np.zeros((2, 100, 10))
    engine.advance(whole, 0, 0.5, 10, *series)
    engine.advance(replicas, 0, 0.5, 4, *np.zeros((2, 100, 0)))
    engine.advance(replicas, 0, 0.5, 6, *np.zeros((2, 100, 0)))
    assert np.array_equal(replicas.configurations, whole.configurations)
    assert np.array_equal(replicas.energy[0], series[0, :, -1])
    spins = engine.unpacked(replicas.configurations[0])[:100]
    np.testing.assert_allclose(replicas.energy[0], 2.0 * spins.sum(axis=1))
    np.testing.assert_allclose(engine.overlap(replicas.configurations[0],
                                              whole.configurations[0]), 1.0)
