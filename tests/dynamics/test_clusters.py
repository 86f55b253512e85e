"""Cluster dynamics against enumerated and exactly solved systems."""

import itertools
import math

import numpy as np
import pytest

from phasegrok.cards.kinds import parameters_class
from phasegrok.compiled import over_threads
from phasegrok.dynamics import clusters
from phasegrok.dynamics.clusters import DYNAMICS, Clusters
from phasegrok.statistics import mean_with_error
from phasegrok.systems import discrete
from phasegrok.theory import ising as ising_theory
from phasegrok.theory import potts as potts_theory

HOT_AND_COLD = np.array([True, False, True, False])


def build(kind, rows=None, **parameters):
    """System of a kind."""
    model = parameters_class(kind)(**parameters)
    return model.build(model.disorder(rows))


def sample(engine, temperature, n_sweeps, seed, discard=200, ordered_r=HOT_AND_COLD):
    """Series of E and Phi of every replica after each sweep, and the replicas."""
    replicas = engine.start(seed, ["clusters", temperature], ordered_r, 1)
    nothing = np.empty((len(ordered_r), 0))
    engine.advance(replicas, 0, temperature, discard, nothing, nothing)
    energy_rt, phi_rt = np.zeros((2, len(ordered_r), n_sweeps))
    engine.advance(replicas, 0, temperature, n_sweeps, energy_rt, phi_rt)
    return energy_rt, phi_rt, replicas


def check(series_rt, exact, precision=0.0075):
    """Four errors, which are small enough to see 3 %."""
    estimate = mean_with_error(series_rt)
    assert estimate.error < precision * abs(exact)
    assert abs(estimate.value - exact) < 4.0 * estimate.error


def boltzmann(energy, number, temperature):
    """Probabilities of the cells of an exact table."""
    weight = number.astype(float) * np.exp(-(energy - energy.min()) / temperature)
    return weight / weight.sum()


@pytest.mark.parametrize("L", [4, 5])
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_square_lattice(dynamics, L):
    """L = 4 is the kernel with four bonds a word; L = 5 the one for any graph."""
    temperature = 2.5
    energy_rt, phi_rt, _ = sample(Clusters((build("ising-2d", L=L),), dynamics), temperature,
                                  60_000, 3)
    if L == 4:
        energy, M, number = ising_theory.joint_density_of_states(4)
        p = boltzmann(energy[:, None] + 0.0 * M, number, temperature)
        for power in (1, 2, 4):
            check(np.abs(phi_rt) ** power, p.sum(axis=0) @ np.abs(M) ** power)
    exact = ising_theory.kaufman(L, temperature)
    check(energy_rt, float(exact.energy))
    check((energy_rt - float(exact.energy)) ** 2, float(exact.heat_capacity) * temperature**2)


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_three_colours(dynamics):
    temperature = 1.05
    energy, n_max, number = potts_theory.joint_density_of_states(3, 4)
    p = boltzmann(energy[:, None] + 0.0 * n_max, number, temperature)
    energy_rt, phi_rt, _ = sample(Clusters((build("potts-2d", L=4, q=3),), dynamics), temperature,
                                  40_000, 4)
    for power in (1, 2):
        check(energy_rt**power, p.sum(axis=1) @ energy.astype(float) ** power)
        check(phi_rt**power, p.sum(axis=0) @ (n_max / 16.0) ** power)


def random_graph(signs):
    """Ten spins, twenty unequal couplings; all states with their energies (h = 0) and M."""
    rng = np.random.default_rng(11)
    pairs = np.array(list(itertools.combinations(range(10), 2)))
    ring = pairs[:, 1] - pairs[:, 0] == 1
    pairs = np.concatenate([pairs[ring], rng.permutation(pairs[~ring])[:11]])
    J = 0.01 * rng.integers(10, 100, len(pairs))
    J = J * rng.choice([-1, 1], len(pairs)) if signs else J
    states = np.array(list(itertools.product([-1, 1], repeat=10)))
    energy = -(states[:, pairs[:, 0]] * states[:, pairs[:, 1]]) @ J
    return np.column_stack([pairs, J]), energy, states.sum(axis=1)


@pytest.mark.parametrize("dynamics, signs, h", [
    ("wolff", False, 0.0), ("wolff", True, 0.0), ("swendsen-wang", False, 0.0),
    ("swendsen-wang", True, 0.0), ("swendsen-wang", False, 0.15), ("swendsen-wang", True, -0.3)])
def test_unequal_couplings_of_either_sign_and_a_field(dynamics, signs, h):
    temperature = 1.7
    rows, energy, M = random_graph(signs)
    energy = energy - h * M
    p = boltzmann(energy, np.ones(len(energy)), temperature)
    engine = Clusters((build("ising-graph", rows, h=h),), dynamics)
    energy_rt, phi_rt, _ = sample(engine, temperature, 60_000, 5)
    check(energy_rt, p @ energy)
    check(energy_rt**2, p @ energy**2)
    check(phi_rt**2, p @ M**2.0)
    if h != 0.0:
        check(phi_rt, p @ M)


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_critical_energy_of_a_large_lattice(dynamics):
    L = 32
    temperature = ising_theory.critical_temperature()
    energy_rt, _, _ = sample(Clusters((build("ising-2d", L=L),), dynamics), temperature, 6000, 6)
    check(energy_rt, float(ising_theory.kaufman(L, temperature).energy), precision=0.0015)


def test_improved_estimator_of_the_susceptibility():
    """<M^2>/N is the mean size of Wolff's clusters, |M(t+1) - M(t)|/2 at one cluster a sweep."""
    for L in (16, 15):
        _, phi_rt, _ = sample(Clusters((build("ising-2d", L=L),), "wolff"), 2.5, 30_000, 7)
        size = mean_with_error(np.abs(np.diff(phi_rt, axis=1)) / 2.0)
        direct = mean_with_error(phi_rt**2 / L**2)
        assert size.error < 0.0075 * size.value and direct.error < 0.0075 * direct.value
        # the two are positively correlated, so the sum of variances is an upper bound
        assert abs(size.value - direct.value) < 4.0 * math.hypot(size.error, direct.error)
        assert size.error < direct.error


def test_a_sweep_of_several_clusters():
    """The same chain, recorded at every third cluster."""
    system = build("ising-2d", L=9)
    one = sample(Clusters((system,), "wolff"), 2.4, 30, 8, discard=3)
    three = sample(Clusters((system,), "wolff", clusters=3), 2.4, 10, 8, discard=1)
    for a, b in zip(one[:2], three[:2]):
        assert np.array_equal(a[:, 2::3], b)


@pytest.mark.parametrize("dynamics, kind, parameters", [
    ("wolff", "ising-2d", dict(L=8)), ("wolff", "ising-2d", dict(L=6, J=0.3)),
    ("wolff", "potts-2d", dict(L=5, q=4)), ("swendsen-wang", "potts-2d", dict(L=5, q=4)),
    ("swendsen-wang", "ising-2d", dict(L=6, h=0.1, J2=-0.2))])
def test_blocks_and_threads_do_not_change_the_run(dynamics, kind, parameters, monkeypatch):
    engine = Clusters((build(kind, **parameters),), dynamics)
    ends = []
    for blocks, threads in (([20], 1), ([1, 7, 12], 4)):
        monkeypatch.setattr("phasegrok.compiled.n_threads", lambda n=threads: n)
        assert clusters.over_threads is over_threads
        replicas = engine.start(9, "blocks", HOT_AND_COLD, 1)
        energy_rt, phi_rt = np.zeros((2, 4, 20))
        for end, n in zip(np.cumsum(blocks), blocks):
            engine.advance(replicas, 0, 1.9, n, energy_rt[:, end - n : end],
                           phi_rt[:, end - n : end])
        ends.append([energy_rt, phi_rt, *vars(replicas).values()])
    for a, b in zip(*ends):
        assert np.array_equal(a, b)
    # and E, Phi and the cache are those of the configuration
    for r in range(4):
        cache = replicas.cache[0, r].copy()
        exact = discrete.prepare(engine.systems[0], replicas.configurations[0, r], cache)
        assert (replicas.energy[0, r], replicas.phi[0, r]) == pytest.approx(exact, abs=1e-10)
        assert np.array_equal(cache, replicas.cache[0, r])


def test_samples_have_their_own_couplings():
    systems = tuple(build("edwards-anderson", L=4, dimension=2, disorder_seed=s) for s in (1, 2))
    energy_rt, _, replicas = sample(Clusters(systems, "swendsen-wang"), 1.5, 5, 10)
    for r in range(4):
        E, _ = discrete.prepare(systems[r // 2], replicas.configurations[0, r], np.zeros(1, int))
        assert E == energy_rt[r, -1] == replicas.energy[0, r]


def test_without_temperature_everything_is_one_cluster():
    for dynamics, kind in itertools.product(DYNAMICS, ("ising-2d", "potts-2d")):
        system = build(kind, L=4, **(dict(q=3) if kind == "potts-2d" else {}))
        energy_rt, _, _ = sample(Clusters((system,), dynamics), 0.0, 100, 12,
                                 ordered_r=np.array([True]))
        assert np.all(energy_rt == -32.0)


def test_overlap_exchange_and_neighbours():
    engine = Clusters((build("potts-2d", L=4, q=3),), "wolff")
    replicas = engine.start(13, "exchange", HOT_AND_COLD, 2)
    before = [array.copy() for array in vars(replicas).values()]
    accepted_r = np.array([True, False, False, True])
    engine.exchange(replicas, 0, accepted_r)
    for name, old in zip(vars(replicas), before):
        new = getattr(replicas, name)
        if name != "rng":
            old[:, accepted_r] = old[::-1, accepted_r]
        assert np.array_equal(new, old)
    a = replicas.configurations[0]
    assert engine.overlap(a, a) == pytest.approx(1.0)
    assert engine.overlap(a, (a + 1) % 3) == pytest.approx(-0.5)
    assert np.array_equal(engine.neighbours(a), a[[1, 0, 3, 2]])
    assert np.array_equal(engine.unpacked(a), a)
    spins = Clusters((build("ising-2d", L=4),), "wolff")
    s = spins.start(1, "x", HOT_AND_COLD, 1).configurations[0]
    assert spins.overlap(s, s[::-1]) == pytest.approx((s * s[::-1]).mean(axis=1))


@pytest.mark.parametrize("dynamics, kind, parameters, text", [
    ("wolff", "ising-2d", dict(L=4, h=0.1), "h = 0"),
    ("wolff", "curie-weiss", dict(N=10, J2=1.0), "pair couplings"),
    ("metropolis", "ising-2d", dict(L=4), "not metropolis")])
def test_refusals(dynamics, kind, parameters, text):
    with pytest.raises(ValueError, match=text):
        Clusters((build(kind, **parameters),), dynamics)


def test_names_say_what_a_sweep_is():
    system = build("ising-2d", L=4)
    assert Clusters((system,), "wolff").name == "wolff, 1 cluster a sweep"
    assert Clusters((system,), "wolff", clusters=5).name == "wolff, 5 clusters a sweep"
    assert Clusters((system,), "swendsen-wang").name == "swendsen-wang, all bonds once a sweep"
    with pytest.raises(ValueError, match="at least one"):
        Clusters((system,), "wolff", clusters=0)
