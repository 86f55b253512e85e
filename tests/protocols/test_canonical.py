"""Canonical sampling and replica exchange against enumerated and exactly solved systems."""

import functools
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from phasegrok import cards, compiled
from phasegrok.cards.kinds import parameters_class
from phasegrok.dynamics.clusters import Clusters
from phasegrok.dynamics.multi_spin import MultiSpin
from phasegrok.dynamics.replicas import SingleFlip
from phasegrok.errors import InputError
from phasegrok.figures.replicas import exchange_line
from phasegrok.protocols import canonical
from phasegrok.protocols.canonical import STRIDE, Canonical, OverlapBins, even_ladder
from phasegrok.statistics import mean_with_error
from phasegrok.studies.sampling import sampling
from phasegrok.systems.ising import lattice_bonds
from phasegrok.theory import ising as ising_theory
from phasegrok.theory import mean_field_potts
from phasegrok.thermodynamics import averages

TEMPERATURES = (2.2, 2.6, 3.3)
EVEN = ("energy", "heat_capacity", "order_parameter_abs", "susceptibility", "binder",
        "overlap_squared", "overlap_binder")


def build(kind, **parameters):
    """System of a kind."""
    model = parameters_class(kind)(**parameters)
    return model.build(model.disorder(None))


def run(protocol, seed=1):
    """State of the whole run, and its groups."""
    state = protocol.init(seed)
    protocol.advance(state, protocol.total())
    return state, protocol.result(state)


def averages_of_table(energy, M, number, temperature):
    """Averages over cells of energy and M (whole system) with numbers of states."""
    n = M.max()
    weight = number * np.exp(-(energy - energy.min()) / temperature)
    p = weight / weight.sum()
    e, size = (p * energy).sum(), (p * np.abs(M)).sum() / n
    square, fourth = (p * M**2).sum() / n**2, (p * M**4).sum() / n**4
    return {"energy": e / n, "order_parameter": (p * M).sum() / n, "order_parameter_abs": size,
            "heat_capacity": ((p * energy**2).sum() - e**2) / (n * temperature**2),
            "susceptibility": n * (square - size**2) / temperature,
            "binder": 1.0 - fourth / (3.0 * square**2)}


def enumerate_states(system, temperature):
    """The same by all states of up to 16 spins, with the overlap of two replicas."""
    n = system.n_sites
    spins = np.array(list(itertools.product([-1.0, 1.0], repeat=n)))
    J = np.zeros((n, n))
    for i in range(n):
        J[i, system.neighbour[system.first[i]:system.first[i + 1]]] += (
            system.coupling[system.first[i]:system.first[i + 1]])
    M = spins.sum(axis=1)
    energy = -0.5 * ((spins @ J) * spins).sum(axis=1) - system.h * M
    p = np.exp(-(energy - energy.min()) / temperature)
    p /= p.sum()
    pairs = (spins[:, :, None] * spins[:, None, :]).reshape(len(spins), n * n)
    q2 = ((p @ pairs) ** 2).sum() / n**2
    q4 = ((pairs.T @ (p[:, None] * pairs)) ** 2).sum() / n**4
    return averages_of_table(energy, M, 1.0, temperature) | {
        "overlap_squared": q2, "overlap_binder": 1.5 - q4 / (2.0 * q2**2)}


@functools.lru_cache
def exact_small_lattice(temperatures=TEMPERATURES):
    """Averages of the 4 x 4 Ising model at the temperatures, by name."""
    rows = [enumerate_states(build("ising-2d", L=4), t) for t in temperatures]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def z_of(group, exact, names=EVEN):
    """Differences from the exact values in units of the errors, shape (names, K)."""
    return np.array([(group[name] - exact[name]) / group[f"{name}_err"] for name in names])


ENGINES = {
    "metropolis": lambda s: SingleFlip(s, "metropolis"),
    "heat-bath": lambda s: SingleFlip(s, "heat-bath"),
    "multi-spin": lambda s: MultiSpin(s, "metropolis", "random-site"),
    "checkerboard": lambda s: MultiSpin(s, "heat-bath", "checkerboard"),
    "wolff": lambda s: Clusters(s, "wolff"),
    "swendsen-wang": lambda s: Clusters(s, "swendsen-wang"),
}


# --- which temperatures ---------------------------------------------------------------------------


@pytest.mark.parametrize("text, tuned", [("1:3:5", True), ("1,1.5,2,2.5,3", False)])
def test_temperatures_of_a_list_are_kept(text, tuned):
    """An even grid may be moved to even acceptance; what was listed is wanted as it is."""
    changes = {"sample.exchange": True, "sample.replicas": 16, "sample.sweeps": 700,
               "sample.equilibration": 400, "parameters.L": 4}
    protocol = sampling(cards.load("ising-2d", changes), text)
    found = run(protocol)[1]["replica_exchange"]
    assert np.allclose(found["temperature"], np.linspace(1.0, 3.0, 5), atol=1e-9) is not tuned
    assert found["temperature"][[0, -1]].tolist() == [1.0, 3.0]
    said = exchange_line(found)
    assert ("moved to even acceptance" in said) is tuned and ("as given" in said) is not tuned
    off = sampling(cards.load("ising-2d", changes | {"sample.tune": False}), text)
    assert not off.tune


# --- averages and their errors --------------------------------------------------------------------


@pytest.mark.parametrize("name, exchange", [
    ("metropolis", False), ("multi-spin", True), ("wolff", False),
    *[pytest.param(*row, marks=pytest.mark.slow) for row in (
        ("heat-bath", True), ("multi-spin", False), ("checkerboard", True),
        ("swendsen-wang", True))]])
def test_averages_of_a_small_lattice(monkeypatch, name, exchange):
    """Errors small enough to see 3 % of every quantity."""
    monkeypatch.setattr(compiled, "n_threads", lambda: 1)  # starting threads would take longer
    engine = ENGINES[name]((build("ising-2d", L=4),))
    _, groups = run(Canonical(engine, TEMPERATURES, 128, 3500, 500, exchange, tune=False), 3)
    group, exact = groups["averages"], exact_small_lattice()
    for quantity in EVEN:
        assert np.min(group[f"{quantity}_err"] / np.abs(exact[quantity])) < 0.0075, quantity
    assert np.abs(z_of(group, exact)).max() < 4.0
    assert abs(z_of(group, exact, ("order_parameter",))[0, 2]) < 4.0
    assert group.attributes["converged"], group.attributes["converged_reason"]
    between = groups["reweighted"]
    assert len(between["temperature"]) == 81
    table = ising_theory.joint_density_of_states(4)
    energy, M, number = *np.meshgrid(*map(np.float64, table[:2]), indexing="ij"), table[2]
    rows = [averages_of_table(energy, M, number, t) for t in between["temperature"]]
    exact = {key: np.array([row[key] for row in rows]) for key in rows[0]}
    assert np.abs(z_of(between, exact, EVEN[:5])).max() < 6.0  # eight groups: Student's t


@pytest.mark.parametrize("exchange", [pytest.param(False, marks=pytest.mark.slow), True])
def test_errors_are_honest(exchange):
    """z over 30 seeds and three temperatures has rms 1, for every observable."""
    engine = SingleFlip((build("ising-2d", L=3, h=0.1),), "heat-bath")
    rows = [enumerate_states(engine.systems[0], t) for t in TEMPERATURES]
    exact = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    protocol = Canonical(engine, TEMPERATURES, 8, 2400, 500, exchange, tune=False)
    names = (*EVEN, "order_parameter")
    z = np.array([z_of(run(protocol, seed)[1]["averages"], exact, names) for seed in range(30)])
    rms = np.sqrt((z**2).mean(axis=(0, 2)))
    assert np.all((rms > 0.8) & (rms < 1.25)), dict(zip(names, rms))
    assert np.all(np.abs(z.mean(axis=(0, 2))) < 4.0 / math.sqrt(90.0))


def test_a_lattice_at_its_critical_temperature():
    """16 x 16 against Kaufman's energy and heat capacity."""
    T = np.array([2.1, ising_theory.critical_temperature(), 2.6])
    engine = Clusters((build("ising-2d", L=16),), "swendsen-wang")
    _, groups = run(Canonical(engine, tuple(T), 16, 1600, 100), 5)
    exact = ising_theory.kaufman(16, T)
    z = z_of(groups["averages"], {"energy": exact.energy / 256,
                                  "heat_capacity": exact.heat_capacity / 256}, EVEN[:2])
    assert np.abs(z).max() < 4.0 and groups["averages"].attributes["converged"]
    assert np.all(groups["averages"]["heat_capacity_err"] < 0.03 * exact.heat_capacity / 256)


def glass_of_27():
    """3 x 3 x 3 spin glass and its exact table."""
    parameters = parameters_class("edwards-anderson")(L=3, dimension=3, disorder_seed=4)
    arrays = parameters.disorder(None)
    table = ising_theory.enumerate_bonds(27, lattice_bonds(3, 3), arrays["couplings"].astype(int))
    return parameters.build(arrays), table


@pytest.mark.parametrize("engine", [
    pytest.param("metropolis", marks=pytest.mark.slow), "multi-spin"])
def test_exchange_equilibrates_a_spin_glass(engine):
    """Every rung has the Boltzmann histogram of energies, which without exchange it has not."""
    system, (levels, M, number) = glass_of_27()
    T = tuple(np.linspace(0.35, 2.0, 8))
    state, groups = run(Canonical(ENGINES[engine]((system,)), T, 64, 3000, 1000, True,
                                  tune=False), 2)
    grid_e, grid_m = np.meshgrid(levels.astype(float), M.astype(float), indexing="ij")
    rows = [averages_of_table(grid_e, grid_m, number, t) for t in T]
    exact = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    z = z_of(groups["averages"], exact, EVEN[:5])
    assert np.abs(z).max() < 4.0, z
    assert groups["averages"].attributes["converged"]
    counts = state.histogram[..., 0]  # (K, groups of replicas, levels)
    cells = np.searchsorted(system.energy_levels(), levels)
    for k, t in enumerate(T):
        p = number.sum(axis=1) * np.exp(-(levels - levels[0]) / t)
        p /= p.sum()
        share = counts[k][:, cells] / counts[k].sum(axis=1, keepdims=True)
        assert counts[k].sum() == 64 * 2000
        common = p > 0.01
        error = share.std(axis=0, ddof=1) / math.sqrt(len(share))
        assert np.all(np.abs(share.mean(axis=0) - p)[common] < 6.0 * error[common])  # t, 7 dof


def test_exchange_at_a_first_order_transition():
    """Mean-field Potts model: both phases with their weights at the transition temperature."""
    q, N = 10, 24
    T_c = mean_field_potts.transition_temperature(q)
    T = (T_c, 1.15 * T_c, 1.3 * T_c)
    engine = SingleFlip((build("potts-mean-field", q=q, N=N),), "heat-bath")
    _, groups = run(Canonical(engine, T, 32, 8000, 1000, True, tune=False), 2)
    classes = mean_field_potts.occupations(q, N)
    rows = [mean_field_potts.thermodynamics(classes, t) for t in T]
    z = z_of(groups["averages"], {
        "energy": np.array([row.energy / N for row in rows]),
        "heat_capacity": np.array([row.heat_capacity / N for row in rows]),
        "order_parameter_abs": np.array([row.order_parameter for row in rows])}, EVEN[:3])
    assert np.abs(z).max() < 4.0, z
    assert np.all(groups["averages"]["energy_err"] < 0.01 * np.abs(groups["averages"]["energy"]))


def test_autocorrelation_times_are_those_of_the_series():
    """tau from sums over blocks, and from the series of every sweep by the Gamma method."""
    engine = MultiSpin((build("ising-2d", L=8),), "metropolis", "random-site")
    T, discard, n = 2.5, 1000, 40_000
    group = run(Canonical(engine, (T,), 8, n + discard, discard), 1)[1]["averages"]
    replicas = engine.start(7, "series", np.zeros(8, dtype=bool), 1)
    series = np.empty((2, 8, n))
    engine.advance(replicas, 0, T, discard, np.empty((8, 0)), np.empty((8, 0)))
    engine.advance(replicas, 0, T, n, *series)
    for name, x_rt in (("energy", series[0]), ("order_parameter", np.abs(series[1]))):
        direct = mean_with_error(x_rt)
        tau, error = group[f"tau_{name}"][0], group[f"tau_{name}_err"][0]
        assert math.hypot(error, direct.tau_error) < 0.1 * direct.tau
        assert abs(tau - direct.tau) < 4.0 * math.hypot(error, direct.tau_error)


# --- sums and blocks ------------------------------------------------------------------------------


def test_blocks_that_doubled_hold_the_same_sums(monkeypatch):
    """Energies and M/16 are exact in binary, so sums in any order are equal to the last bit."""
    protocol = Canonical(SingleFlip((build("ising-2d", L=4),), "metropolis"), (2.0, 3.0), 6, 1310,
                         25, True, tune=False)
    whole, groups = run(protocol)
    assert whole.block_length == STRIDE and whole.moments.shape[2] == 1024
    monkeypatch.setattr(canonical, "MOST_BLOCKS", 8)
    monkeypatch.setattr(canonical, "FEWEST_BLOCKS", 8)
    small, _ = run(protocol)
    times = small.block_length // STRIDE
    assert times == 16 and small.moments.shape[2] == 8
    for name in ("moments", "overlaps"):
        sums, blocks = getattr(whole, name), getattr(small, name)
        merged = sums.reshape(*sums.shape[:2], -1, times, sums.shape[3]).sum(axis=3)
        assert np.array_equal(merged[:, :, :8], blocks, equal_nan=True)
        assert not merged[:, :, 8:].any()
    for name in ("energy", "configurations", "histogram", "log_time", "overlap_counts"):
        assert np.array_equal(getattr(whole, name), getattr(small, name))
    assert groups["averages"].attributes["equilibration_sweeps"] == 30
    assert whole.histogram[..., 0].sum(axis=2).sum() == 0  # six replicas: no eight groups


def test_every_sum_is_that_of_the_series():
    """Moments, histogram and log-time sums recounted from the series of the same run."""
    engine = SingleFlip((build("ising-2d", L=4),), "heat-bath")
    protocol = Canonical(engine, (2.2,), 8, 400, 37)
    state, groups = run(protocol, 9)
    start = protocol.init(9)
    energy_rt, phi_rt = np.empty((2, 8, 400))
    engine.advance(start, 0, 2.2, 400, energy_rt, phi_rt)
    phi_rt = phi_rt / 16.0
    kept = slice(40, None)
    sums = [energy_rt, energy_rt**2, phi_rt, np.abs(phi_rt), phi_rt**2, phi_rt**4]
    assert np.allclose(state.moments[0].sum(axis=1), np.transpose(
        [x[:, kept].sum(axis=1) for x in sums]), rtol=1e-13)
    levels = engine.systems[0].energy_levels()
    for group in range(8):
        for cell, level in enumerate(levels):
            at = energy_rt[group, kept] == level
            found = state.histogram[0, group, cell]
            assert found[0] == at.sum()
            assert found[1] == pytest.approx(np.abs(phi_rt[group, kept])[at].sum(), abs=1e-12)
            assert found[3] == pytest.approx((phi_rt[group, kept][at] ** 4).sum(), abs=1e-12)
    shown = groups["equilibration"]
    assert len(shown["time"]) == 8  # 1 + 2 + ... + 128 = 255 sweeps are full bins
    random = np.array([0, 1, 4, 5])
    for j, first in enumerate(2 ** np.arange(8)):
        mean = energy_rt[random, first - 1 : 2 * first - 1].mean() / 16.0
        assert shown["energy_random"][0, j] == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("kind, parameters", [
    ("ising-2d", {"L": 16}), ("ising-2d", {"L": 5}), ("ising-2d", {"L": 15}),
    ("potts-2d", {"L": 16, "q": 3}), ("blume-capel-2d", {"L": 12, "D": 0.5})])
def test_bins_of_the_overlap(kind, parameters):
    """Uniform chance of every value is a flat density, symmetric for spins."""
    bins = OverlapBins.of(build(kind, **parameters))
    values = bins.lowest + bins.step * np.arange(bins.n_values)
    assert values[-1] == pytest.approx(1.0)
    centres, widths = bins.centres_and_widths()
    assert len(centres) == bins.number <= 103
    counts = np.bincount(bins.cell(values), minlength=bins.number)
    assert np.allclose(counts / widths, 1.0 / bins.step)
    if kind != "potts-2d":
        assert np.allclose(centres, -centres[::-1]) and np.array_equal(widths, widths[::-1])


def test_distribution_of_the_overlap():
    """P(q) of 3 x 3 spins: from all pairs of states."""
    engine = SingleFlip((build("ising-2d", L=3),), "heat-bath")
    T = 3.0
    state, groups = run(Canonical(engine, (T,), 64, 6000, 100), 4)
    spins = np.array(list(itertools.product([-1, 1], repeat=9)))
    M, grid = spins.sum(axis=1), spins.reshape(-1, 3, 3)
    energy = -sum((grid * np.roll(grid, 1, axis)).sum(axis=(1, 2)) for axis in (1, 2))
    assert M.shape == energy.shape
    p = np.exp(-energy / T)
    p /= p.sum()
    product = (spins @ spins.T + 9) // 2
    exact = np.bincount(product.ravel(), (p[:, None] * p).ravel())
    group = groups["overlap"]
    assert np.allclose(group["overlap"], np.linspace(-1.0, 1.0, 10))
    share = group["density"][0, 0] * group["width"]
    assert share.sum() == pytest.approx(1.0)
    n_pairs = state.overlap_counts.sum()
    assert n_pairs == 32 * 590
    tau = max(1.0, groups["averages"]["tau_order_parameter"][0] / STRIDE)
    assert np.all(np.abs(share - exact) < 4.0 * np.sqrt(2.0 * tau * exact / n_pairs))
    assert group.variables["mean_density"].dims == ("temperature", "overlap")


@pytest.mark.parametrize("h, even", [(0.0, True), (0.2, False)])
def test_both_signs_of_the_overlap_are_as_likely_where_energies_are_even(h, even):
    """Half of the replicas began up and stay so: the run by itself would find more q > 0."""
    engine = MultiSpin((build("ising-2d", L=12, h=h),), "metropolis", "random-site")
    group = run(Canonical(engine, (1.5,), 16, 600, 200), 2)[1]["overlap"]
    density = group["density"][0, 0]
    assert (density * group["width"]).sum() == pytest.approx(1.0)
    assert np.array_equal(density, density[::-1]) == even
    assert even or density[group["overlap"] < 0.0].max() == 0.0


# --- replica exchange -----------------------------------------------------------------------------


def test_an_even_ladder_of_normal_energies():
    """sd(E) |1/T - 1/T'| becomes equal where acceptance is erfc of half of it."""
    sd, T = 7.0, np.array([1.0, 1.1, 1.5, 1.6, 3.0])
    acceptance = np.array([math.erfc(0.5 * sd * abs(1 / a - 1 / b))
                           for a, b in itertools.pairwise(T)])
    even = even_ladder(T, acceptance)
    assert even[0] == T[0] and even[-1] == T[-1]
    assert np.diff(1.0 / even) == pytest.approx(np.full(4, (1.0 / 3.0 - 1.0) / 4.0), rel=1e-9)


def test_acceptance_is_that_of_the_exact_energies():
    """<min(1, exp(dbeta dE))> over independent Boltzmann energies, which also fixes its sign."""
    _, groups = run(Canonical(SingleFlip((build("ising-2d", L=4),), "heat-bath"), (2.0, 2.6), 64,
                              8000, 200, True), 6)
    energy, M, number = ising_theory.joint_density_of_states(4)
    assert M.size == 17
    p = [number.sum(axis=1) * np.exp(-(energy - energy[0]) / t) for t in (2.0, 2.6)]
    gain = (1 / 2.0 - 1 / 2.6) * (energy[:, None] - energy)
    exact = (np.outer(*p) * np.exp(np.minimum(gain, 0.0))).sum() / np.outer(*p).sum()
    group = groups["replica_exchange"]
    n = 64 * 7800 / (2 * STRIDE)
    assert abs(group["acceptance"][0] - exact) < 5.0 * math.sqrt(exact * (1 - exact) / n)
    assert math.sqrt(exact * (1 - exact) / n) < 0.006 * exact


def test_tuning_evens_out_the_acceptance():
    engine = MultiSpin((build("ising-2d", L=8),), "metropolis", "random-site")
    T = (1.2, 1.5, 1.6, 1.9, 2.1, 2.8, 4.0)
    rates, ladders = [], []
    for tune in (False, True):
        _, groups = run(Canonical(engine, T, 16, 6000, 3000, True, tune), 3)
        group = groups["replica_exchange"]
        rates.append(group["acceptance"])
        ladders.append(group["temperature"])
    assert np.array_equal(ladders[0], T)
    assert ladders[1][0] == T[0] and ladders[1][-1] == T[-1] and np.all(np.diff(ladders[1]) > 0)
    assert np.ptp(rates[1]) < 0.25 * np.ptp(rates[0])
    assert rates[1].min() > 1.5 * rates[0].min()
    exact = ising_theory.kaufman(8, ladders[1]).energy / 64  # at the temperatures it went to
    assert np.abs(z_of(groups["averages"], {"energy": exact}, ("energy",))).max() < 4.0


def test_round_trips_are_counted():
    """Each walker followed by hand: cold end, hot end, cold end again."""
    protocol = Canonical(SingleFlip((build("ising-2d", L=3),), "heat-bath"),
                         (1.5, 2.0, 2.7, 4.0), 5, 3000, 200, True)
    state = protocol.init(2)
    path = []
    while protocol.done(state) < protocol.total():
        protocol.advance(state, STRIDE)
        path.append(state.walker.copy())
    path = np.array(path)[20:]  # after equilibration
    assert np.array_equal(np.sort(path, axis=1), np.broadcast_to(
        np.arange(4)[:, None], path.shape))
    trips = np.zeros(5, dtype=int)
    for r, walker in itertools.product(range(5), range(4)):
        ends = [rung for rung in np.argmax(path[:, :, r] == walker, axis=1) if rung in (0, 3)]
        turns = [rung for rung, before in zip(ends, [None, *ends]) if rung != before]
        from_the_cold = turns[turns.index(0):] if 0 in turns else []
        trips[r] += max(0, (len(from_the_cold) - 1) // 2)
    assert state.round_trips.tolist() == trips.tolist() and trips.min() > 20
    assert protocol.result(state)["replica_exchange"].attributes["round_trips"] == trips.sum()


# --- disorder -------------------------------------------------------------------------------------

GLASS_CARD = """
name = "glass"
title = "small spin glass"
kind = "edwards-anderson"
reference = "doi:10.1088/0305-4608/5/5/017"
[parameters]
L = 4
dimension = 2
[observables]
energy = "E"
order_parameter = "M"
[sample]
temperatures = "1.2,2.0"
sweeps = 1500
equilibration = 300
replicas = 8
"""


def glass_card(**changes):
    """Card of a small two-dimensional spin glass."""
    return cards.from_text(GLASS_CARD, Path(), changes)


def test_samples_of_the_disorder():
    card = glass_card()
    drawn = [sample["couplings"] for sample in card.samples(6)]
    again = [sample["couplings"] for sample in glass_card().samples(8)]
    assert np.array_equal(drawn, again[:6])  # more samples leave the first ones as they are
    assert np.array_equal(drawn[0], card.arrays["couplings"])
    assert len({x.tobytes() for x in drawn}) == 6
    other = [sample["couplings"] for sample in glass_card(disorder_seed=2).samples(6)]
    assert len({x.tobytes() for x in (*drawn, *other)}) == 12


@pytest.mark.parametrize("name, words", [
    ("ising-2d", "a system without disorder has no --samples"),
    ("edwards-anderson-l4", "its disorder is read from edwards-anderson-l4.csv")])
def test_samples_that_cannot_be_drawn(name, words):
    with pytest.raises(InputError) as caught:
        cards.load(name).samples(2)
    (line,) = caught.value.messages
    assert words in line and name in line


@pytest.mark.parametrize("order", [
    "random-site", pytest.param("single", marks=pytest.mark.slow)])
def test_averages_over_samples(order):
    """Each sample against its enumeration; the error is the scatter, thermal errors stand apart."""
    card, n = glass_card(), 5
    systems = tuple(card.build(arrays) for arrays in card.samples(n))
    engine = (SingleFlip(systems, "metropolis") if order == "single" else
              MultiSpin(systems, "metropolis", "random-site"))
    T = (1.2, 2.0)
    group = run(Canonical(engine, T, 16 * n, 2500, 500), 8)[1]["averages"]
    names = EVEN[:6]
    z = np.empty((len(names), n, 2))
    exact = np.empty((len(names), n, 2))
    for s, k in np.ndindex(n, 2):
        row = enumerate_states(systems[s], T[k])
        exact[:, s, k] = [row[name] for name in names]
    for i, name in enumerate(names):
        value, error = group[f"{name}_samples"], group[f"{name}_samples_err"]
        z[i] = (value - exact[i]) / error
        assert np.allclose(group[name], value.mean(axis=0))
        assert np.allclose(group[f"{name}_err"], value.std(axis=0, ddof=1) / math.sqrt(n))
        assert np.allclose(group[f"{name}_thermal_err"], np.sqrt((error**2).sum(axis=0)) / n)
    assert np.abs(z).max() < 4.0 and 0.7 < np.sqrt((z**2).mean()) < 1.3
    # the samples differ by more than their thermal errors: a mixed-up sample would be seen
    assert np.all(exact[0].std(axis=0) > 4.0 * group["energy_samples_err"].max(axis=0))
    assert group.attributes["samples"] == n and group.attributes["converged"]


def test_pairs_never_cross_samples():
    """Two samples with opposite couplings in a strong field: q of a pair is +1, not the mixed one.

    E = -sum J s s' - h M with J = -+1 at low T; the ferromagnet is up, the antiferromagnet mixed.
    """
    card = glass_card()
    n = len(card.arrays["couplings"])
    systems = tuple(card.build({"couplings": np.full(n, J)}) for J in (1.0, -1.0))
    for engine in (SingleFlip(systems, "metropolis"), MultiSpin(systems, "metropolis",
                                                                "random-site")):
        state, groups = run(Canonical(engine, (0.5,), 12, 600, 200), 1)
        q2 = groups["averages"]["overlap_squared_samples"][:, 0]
        assert np.all(q2 > 0.95)  # two states of the sample, related by the flip: q = +-1
        assert groups["overlap"]["density"].shape[:2] == (1, 2)
        a = engine.unpacked(state.configurations[0])[:12]
        assert np.abs(a[:6].sum(axis=1)).min() >= 12 and np.abs(a[6:].sum(axis=1)).max() <= 4
    # three replicas a sample make no pairs: none is taken from two samples
    _, groups = run(Canonical(SingleFlip(systems, "metropolis"), (0.5,), 6, 600, 200), 1)
    assert "overlap_squared" not in groups["averages"] and "overlap" not in groups
    with pytest.raises(InputError, match="even number"):
        sampling(glass_card(**{"sample.replicas": 3}), samples=2)


# --- evidence of equilibrium ----------------------------------------------------------------------


@pytest.mark.parametrize("samples", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_equilibrium_is_rarely_doubted(samples):
    """Forty seeds of a fast system: at most two are said not to be converged."""
    card = glass_card()
    systems = tuple(card.build(arrays) for arrays in card.samples(samples))
    protocol = Canonical(SingleFlip(systems, "heat-bath"), (2.5, 4.0), 8 * samples, 1200, 200)
    said = [run(protocol, seed)[1]["averages"].attributes["converged"] for seed in range(40)]
    assert said.count(False) <= 2


def never(protocol, words, seeds=4):
    """Every seed is said not to be converged, for a reason with these words."""
    for seed in range(seeds):
        group = run(protocol, seed)[1]["averages"]
        assert not group.attributes["converged"]
        assert words in group.attributes["converged_reason"]
        assert not group["equilibrated"][0]


def test_starts_that_do_not_meet_are_noticed():
    """Potts model below its transition: the random start stays in domains or in the other phase."""
    engine = SingleFlip((build("potts-2d", L=12, q=10),), "metropolis")
    never(Canonical(engine, (0.66, 2.0), 16, 400, 100), "at T = 0.66")


def test_a_metastable_field_is_noticed():
    """Ordered replicas stay against the field, which random ones do not find."""
    engine = SingleFlip((build("ising-2d", L=16, h=-0.05),), "metropolis")
    never(Canonical(engine, (1.5,), 16, 1500, 500), "at T = 1.5")


def test_an_overlap_that_is_not_relaxed_is_noticed():
    """E and |M| are the same from both starts; q^2 is larger by half where pairs began ordered."""
    rng = np.random.default_rng(5)
    n_replicas, n_blocks, length = 16, 100, 10
    ordered_r = np.arange(n_replicas) // 2 % 2 == 1
    moments = rng.normal(1.0, 0.1, (1, n_replicas, n_blocks, 6)) * length
    overlaps = rng.normal(0.3, 0.1, (1, n_replicas // 2, n_blocks, 2))
    overlaps[:, ordered_r[::2]] *= 1.5
    bins = np.ones((1, n_replicas, 4))
    for pairs, equilibrated in ((overlaps[:, :0], True), (overlaps, False)):
        group = averages.averages(np.array([2.0]), moments, pairs, length, 1, 1)
        for name in ("tau_energy", "tau_order_parameter"):  # the moments are not those of a series
            group.variables[name].data = np.array([0.5])
        averages.equilibration(group, moments, pairs, length, ordered_r, bins, bins, 1, 1)
        assert group["equilibrated"].tolist() == [equilibrated]
    assert "starts disagree at T = 2" in group.attributes["converged_reason"]


def test_a_run_that_is_too_short_says_by_how_much():
    engine = SingleFlip((build("ising-2d", L=8),), "metropolis")
    group = run(Canonical(engine, (2.27,), 8, 400, 100), 1)[1]["averages"]
    assert not group.attributes["converged"]
    tau = max(group["tau_energy"][0], group["tau_order_parameter"][0])
    more = int(50.0 * tau - 300)
    assert more > 0 and f"at least {more} more sweeps" in group.attributes["converged_reason"]


def test_few_replicas_cannot_be_compared():
    engine = SingleFlip((build("ising-2d", L=3),), "heat-bath")
    group = run(Canonical(engine, (4.0,), 2, 1000, 100), 1)[1]["averages"]
    assert not group.attributes["converged"]
    assert "fewer than four replicas" in group.attributes["converged_reason"]


def test_the_mean_order_parameter_of_a_broken_symmetry_is_not_given():
    """Below T_c the sign is that of the start: half of the replicas began up, so the mean is wrong.
    """
    engine = MultiSpin((build("ising-2d", L=16),), "metropolis", "random-site")
    group = run(Canonical(engine, (1.8, 4.0), 64, 2000, 500), 1)[1]["averages"]
    assert math.isnan(group["order_parameter"][0]) and math.isnan(group["order_parameter_err"][0])
    assert abs(group["order_parameter"][1]) < 4.0 * group["order_parameter_err"][1]
    assert np.all(np.isfinite(group["order_parameter_abs"]))
    assert np.array_equal(group["equilibrated"][1:], [True])
