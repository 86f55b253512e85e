"""The ladder of temperatures against exact densities of states, counts by hand, and its errors."""

import functools
import math

import numpy as np
import pytest
from driving import drive
from repository import REFERENCE

from phasegrok.cards.kinds import parameters_class
from phasegrok.dynamics import multi_spin_ladder
from phasegrok.dynamics.multi_spin_random import LANES
from phasegrok.protocols.temperature_ladder import TemperatureLadder, fits
from phasegrok.theory.ising import exact_density_of_states

BAND = (0.4, 2.7)  # rms z of one run of 8 walkers, as for Wang-Landau


def build(kind, rows=None, **parameters):
    model = parameters_class(kind)(**parameters)
    return model.build(model.disorder(rows))


def square(L):
    """Energies and ln g of the square lattice, from the exact counts."""
    energies, counts = exact_density_of_states(L)
    return np.array(energies, dtype=float), np.array([math.log(g) for g in counts])


def in_field(L, h):
    """The same in a field, from the exact counts by energy and magnetisation."""
    E, M, g = np.loadtxt(REFERENCE / f"ising2d_gEM_L{L}.csv", delimiter=",", skiprows=1).T
    energies, which = np.unique(np.round(E - h * M, 9), return_inverse=True)
    return energies, np.log(np.bincount(which, g))


def glass():
    """The bonds of a glass and its exact counts."""
    rows = np.loadtxt(REFERENCE / "edwards_anderson_L4_bonds.csv", delimiter=",", skiprows=1)
    E, g = np.loadtxt(REFERENCE / "edwards_anderson_L4_gE.csv", delimiter=",", skiprows=1).T
    return rows, (E, np.log(g))


def chain(N):
    """The periodic chain: two unsatisfied bonds a pair of walls."""
    walls = np.arange(0, N + 1, 2)
    return -N + 2.0 * walls, np.log([2.0 * math.comb(N, k) for k in walls])


def frustrated_chain(N):
    """An antiferromagnetic chain of odd length: an odd number of satisfied bonds is impossible."""
    unsatisfied = np.arange(1, N + 1, 2)
    return -N + 2.0 * unsatisfied, np.log([2.0 * math.comb(N, k) for k in unsatisfied])


def states(system):
    """E and M of every state."""
    n = system.n_sites
    s = 2.0 * (np.arange(2**n)[:, None] >> np.arange(n) & 1) - 1.0
    E = -system.h * s.sum(axis=1)
    for i in range(n):
        k = slice(system.first[i], system.first[i + 1])
        E -= 0.5 * s[:, i] * (s[:, system.neighbour[k]] @ system.coupling[k])
    return np.round(np.column_stack([E, s.sum(axis=1)]), 9)


def enumerated(system):
    """A system with the counts of all its states."""
    energies, counts = np.unique(states(system)[:, 0], return_counts=True)
    return system, (energies, np.log(counts))


CASES = {
    "square 8": lambda: (build("ising-2d", L=8), square(8)),
    "antiferromagnet": lambda: (build("ising-2d", L=8, J=-0.5),
                                (0.5 * square(8)[0], square(8)[1])),
    "square 4 in a field": lambda: (build("ising-2d", L=4, h=0.5), in_field(4, 0.5)),
    "square 8 in a field": lambda: (build("ising-2d", L=8, h=-1.0), in_field(8, -1.0)),
    "glass": lambda: (build("edwards-anderson", glass()[0], L=4, dimension=2), glass()[1]),
    "chain": lambda: (build("ising-chain", N=16), chain(16)),
    "odd chain": lambda: (build("ising-chain", N=13, J=-1.0), frustrated_chain(13)),
    "next-nearest": lambda: enumerated(build("ising-2d", L=4, J2=-0.5)),
    "graph in a field": lambda: enumerated(build("ising-graph", random_graph(), h=0.5)),
}  # fmt: skip


FOLDED = ("square 8", "antiferromagnet", "glass", "chain")


@functools.cache
def finished(name, sweeps, seed=1, fold=False):
    """Exact energies and ln g, and the group of a run of 8 walkers."""
    system, exact = CASES[name]()
    protocol = TemperatureLadder(system, sweeps, 8, fold)
    return exact, protocol.result(drive(protocol, seed))["density_of_states"]


def errors(exact, group):
    """ln g - exact and its stated error at every exact energy."""
    energies, log_g = exact
    place = np.array([np.argmin(np.abs(group["energy"] - E)) for E in energies])
    assert np.allclose(group["energy"][place], energies)
    return group["log_g"][place] - log_g, group["log_g_err"][place]


@pytest.mark.parametrize("name, fold", [
    *((name, False) for name in CASES), *((name, True) for name in FOLDED)])
def test_ln_g_is_exact_within_its_errors(name, fold):
    exact, group = finished(name, 30_000, fold=fold)
    error, stated = errors(exact, group)
    assert group.attributes["complete"], group.attributes["complete_reason"]
    uncertain = stated > 1e-12
    z = error[uncertain] / stated[uncertain]
    assert BAND[0] < np.sqrt(np.mean(z**2)) < BAND[1]
    assert np.sqrt(np.mean(error**2)) < 0.03
    assert len(group["energy"]) == len(exact[0])  # no level that does not exist


LATTICES = [
    ("ising-chain", {"N": 12}), ("ising-2d", {"L": 4}), ("ising-2d", {"L": 34}),
    ("ising-3d", {"L": 4}), ("ising-3d", {"L": 10, "J": -1.0}),
    ("edwards-anderson", {"L": 6, "dimension": 3}), ("edwards-anderson", {"L": 8, "dimension": 2}),
    ("ising-2d", {"L": 5, "J": -1.0}), ("ising-2d", {"L": 6, "J2": -0.5}),
    ("ising-chain", {"N": 7}), ("ising-3d", {"L": 3, "J2": 0.5}),
    ("edwards-anderson", {"L": 9, "dimension": 3}),
]  # fmt: skip


def random_graph(n=14, bonds=30):
    """Sites of unequal degree, couplings of two strengths and both signs, and their bonds."""
    rng = np.random.default_rng(4)
    pairs = np.array([(a, b) for a in range(n) for b in range(a)])
    pairs = pairs[rng.choice(len(pairs), bonds, replace=False)]
    return np.column_stack([pairs, rng.choice([-1.0, 0.5, 1.0, 1.5], bonds)])


def enumerated_with_order(system):
    """A system with the counts of all its states by E and M."""
    pairs, counts = np.unique(states(system), axis=0, return_counts=True)
    return system, (pairs, np.log(counts))


def from_table(L):
    E, M, g = np.loadtxt(REFERENCE / f"ising2d_gEM_L{L}.csv", delimiter=",", skiprows=1).T
    return np.column_stack([E, M]), np.log(g)


JOINT = {
    "square 4": lambda: (build("ising-2d", L=4), from_table(4)),
    "chain in a field": lambda: enumerated_with_order(build("ising-chain", N=13, h=0.5)),
    "next-nearest": lambda: enumerated_with_order(build("ising-2d", L=4, J=-1.0, J2=0.5)),
    "glass": lambda: enumerated_with_order(build("edwards-anderson", glass()[0], L=4, dimension=2)),
    "graph": lambda: enumerated_with_order(build("ising-graph", random_graph(), h=-0.5)),
}


@pytest.mark.parametrize("name", [*JOINT, pytest.param("square 8", marks=pytest.mark.slow)])
def test_joint_ln_g_is_exact_within_its_errors(name):
    system, (pairs, exact) = (JOINT[name]() if name in JOINT else
                              (build("ising-2d", L=8), from_table(8)))
    protocol = TemperatureLadder(system, 20_000 if name in JOINT else 200_000, 8, joint=True)
    group = protocol.result(drive(protocol, 2))["density_of_states"]
    assert group.attributes["complete"], group.attributes["complete_reason"]
    row = [int(np.argmin(np.abs(group["energy"] - E))) for E, _ in pairs]
    column = [int(np.argmin(np.abs(group["order_parameter"] - M))) for _, M in pairs]
    error = group["log_g"][row, column] - exact
    stated = group["log_g_err"][row, column]
    assert np.isfinite(group["log_g"]).sum() == len(exact)
    uncertain = stated > 1e-12
    assert BAND[0] < np.sqrt(np.mean((error / stated)[uncertain] ** 2)) < BAND[1]
    assert np.sqrt(np.mean(error**2)) < 0.02


def test_exchanges_keep_the_magnetisation_of_every_lane():
    system = build("ising-2d", L=6, J2=0.5)
    protocol = TemperatureLadder(system, 3000, 2, joint=True)
    state = drive(protocol, 1)
    assert len(state.beta) > 3
    for k in range(len(state.beta)):
        up = (protocol.unpacked(state.words[1, k]) > 0).sum(axis=1)
        assert up.tolist() == [lane % 37 for lane in range(LANES)]


def test_states_with_each_magnetisation_are_counted_against_what_is_known():
    protocol = TemperatureLadder(build("ising-2d", L=4), 8000, 8, joint=True)
    state = drive(protocol, 1)
    attempts = state.attempts.reshape(8, -1, 17, state.attempts.shape[-1])
    upwards = attempts[..., 8, : attempts.shape[-1] // 2]
    upwards += upwards // 20  # flips from M = 0 to 2 counted 5 % too often
    reason = protocol.result(state)["density_of_states"].attributes["complete_reason"]
    assert "numbers of states with each M are not what they are known to be" in reason


@pytest.mark.parametrize("h", [0.0, 0.5])
@pytest.mark.parametrize("kind, parameters", [*LATTICES, ("ising-graph", {})])
def test_sites_are_counted_by_what_their_flip_changes(kind, parameters, h):
    rows = random_graph() if kind == "ising-graph" else None
    system = build(kind, rows, h=h, **parameters)
    protocol = TemperatureLadder(system, 1000, 2)
    state = protocol.init(3)
    protocol.advance(state, len(state.beta))
    mover, changes = protocol.mover, protocol.changes()
    for k in (0, len(state.beta) // 2, len(state.beta) - 1):
        counted = multi_spin_ladder.counted(mover, state.words[1, k])
        spins = protocol.unpacked(state.words[1, k])
        for lane in range(0, LANES, 9):
            s = spins[lane].astype(float)
            ends = np.repeat(np.arange(system.n_sites), np.diff(system.first))
            around = np.bincount(ends, system.coupling * s[system.neighbour], system.n_sites)
            values, number = np.unique(np.round(2.0 * s * (around + h), 9), return_counts=True)
            for value, n in zip(values, number):
                of = np.isclose(changes, value)
                assert counted[of, lane].sum() == n
            assert counted[:, lane].sum() == system.n_sites
            energy = -0.5 * s @ around - h * s.sum()
            assert state.energy[1, k, lane] == pytest.approx(energy, abs=1e-9)


def test_what_does_not_fit_says_so():
    assert "Ising" in fits(build("potts-2d", L=4, q=3))
    assert "no energy levels" in fits(build("edwards-anderson", L=4, dimension=2,
                                            couplings="gaussian"))
    assert "at most 32" in fits(build("ising-2d", L=4, J2=0.1))
    assert fits(build("ising-2d", L=5)) == fits(build("ising-2d", L=6, J2=0.5, h=0.5)) == ""
    with pytest.raises(ValueError, match="circles of odd length"):
        TemperatureLadder(build("ising-2d", L=5), 100, fold=True)
    with pytest.raises(ValueError, match="do not fold"):
        TemperatureLadder(build("ising-2d", L=4, h=0.5), 100, fold=True)


@pytest.mark.parametrize("kind, rows, parameters", [
    ("ising-chain", None, {"N": 3}), ("ising-chain", None, {"N": 3, "h": 1.0}),
    ("ising-chain", None, {"N": 4, "J": 0.0, "h": 0.5}),
    ("ising-graph", [[0, 1, -1.0]], {}), ("ising-graph", [[0, 1, 1.0], [2, 3, 2.0]], {"h": 1.0}),
])
@pytest.mark.parametrize("joint", [False, True])
def test_the_smallest_systems_are_counted(kind, rows, parameters, joint):
    system = build(kind, None if rows is None else np.array(rows), **parameters)
    assert fits(system) == ""
    protocol = TemperatureLadder(system, 4000, 4, joint=joint)
    group = protocol.result(drive(protocol, 1))["density_of_states"]
    values = states(system) if joint else states(system)[:, :1]
    cells, counts = np.unique(values, axis=0, return_counts=True)
    log_g, err = group["log_g"], group["log_g_err"]
    assert np.isfinite(log_g).sum() == len(cells)
    found = log_g[np.isfinite(log_g)]  # by E, then M
    allowed = 5.0 * err[np.isfinite(log_g)] + 1e-9
    assert np.all(np.abs(found - np.log(counts)) < allowed)


def test_a_system_of_one_energy_does_not_fit():
    assert "one energy" in fits(build("ising-chain", N=5, J=0.0))


def test_a_short_run_is_not_believed():
    protocol = TemperatureLadder(build("ising-2d", L=16), 2000, 2)
    group = protocol.result(drive(protocol, 1))["density_of_states"]
    assert not group.attributes["complete"]
    assert "round trips" in group.attributes["complete_reason"]
    assert np.isfinite(group["log_g"]).any()


@pytest.mark.parametrize("joint", [False, True])
def test_there_is_a_result_at_any_moment(joint):
    protocol = TemperatureLadder(build("ising-2d", L=4), 2000, 4, joint=joint)
    state = protocol.init(1)
    for sweeps in (0, 1, 499, 500, 501, 2000):  # counts begin anew at 500
        protocol.advance(state, sweeps - state.sweeps)
        group = protocol.result(state)["density_of_states"]
        assert group.attributes["complete_reason"].startswith("do not believe it") or sweeps > 501
        assert np.isfinite(group["log_g"]).any() == (sweeps not in (0, 500))


def test_a_longer_run_continues_a_shorter_one():
    system = build("ising-2d", L=6)
    short, long = TemperatureLadder(system, 4000, 2), TemperatureLadder(system, 9000, 2)
    state = drive(short, 1)
    assert state.sweeps == 4000 and state.equilibration == 1000
    long.advance(state, 10**9)
    assert state.sweeps == 9000
    assert state.attempts.sum() == 2 * 8000 * LANES * system.n_sites


def test_rungs_are_most_where_the_error_grows_most():
    protocol = TemperatureLadder(build("ising-2d", L=8), 40_000, 8)
    state = protocol.init(1)
    laid = len(state.beta)
    protocol.advance(state, protocol.total())
    assert len(state.beta) - 1 == 3 * (laid - 1) // 2
    acceptance = protocol.result(state)["density_of_states"]["acceptance"]
    assert acceptance.min() > 0.15  # a fifth is asked for
    critical = np.abs(np.abs(state.beta[1:] + state.beta[:-1]) / 2 - 0.44) < 0.1
    hot = np.abs(state.beta[1:] + state.beta[:-1]) / 2 < 0.2
    assert acceptance[critical].mean() > acceptance[hot].mean() + 0.1


def test_lanes_that_begin_ordered_and_stay_so_are_noticed():
    protocol = TemperatureLadder(build("ising-2d", L=8), 4000, 4)
    state = drive(protocol, 1)
    state.energy_sums[:, :, 32:] -= 0.05 * np.abs(state.energy_sums[:, :, 32:])
    reason = protocol.result(state)["density_of_states"].attributes["complete_reason"]
    assert "begun ordered and at random differ" in reason


def test_a_level_that_nobody_visited_is_reported():
    protocol = TemperatureLadder(build("ising-2d", L=8), 20_000, 4)
    state = drive(protocol, 1)
    state.visits[:, :, 0] = state.seen[:, 0] = state.attempts[:, 0] = 0
    group = protocol.result(state)["density_of_states"]
    assert np.isnan(group["log_g"][0]) and group["energy"][0] == -128.0
    assert "moves lead to 1 cell(s)" in group.attributes["complete_reason"]
    assert "ground state" in group.attributes["complete_reason"]


def test_a_broken_energy_is_found_out():
    from phasegrok.errors import InputError

    protocol = TemperatureLadder(build("ising-2d", L=8), 500, 2)
    state = drive(protocol, 1)
    state.energy[1, 0, 8] += 4.0
    with pytest.raises(InputError):
        protocol.result(state)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["square 8", "square 8 in a field", "glass"])
def test_errors_are_calibrated_over_seeds(name):
    z2 = []
    for seed in range(24):
        error, stated = errors(*finished(name, 20_000, seed))
        z2.append(np.mean((error / stated) ** 2))
    # a t of 7 degrees of freedom has rms 1.18; of one run it scatters by .35
    assert abs(np.sqrt(np.mean(z2)) - 1.18) < 3 * 0.35 / math.sqrt(24)


@pytest.mark.slow
@pytest.mark.parametrize("kind, parameters", [
    ("ising-3d", {"L": 4}), ("edwards-anderson", {"L": 8, "dimension": 2}),
    ("edwards-anderson", {"L": 4, "dimension": 3}), ("ising-2d", {"L": 7, "J2": -0.5}),
])
def test_ladders_agree_with_wang_landau(kind, parameters):
    from phasegrok.protocols.wang_landau import WangLandau

    system = build(kind, **parameters)
    ladder, walk = TemperatureLadder(system, 200_000, 8), WangLandau(system, 400_000, 8)
    a, b = (p.result(drive(p, 2))["density_of_states"] for p in (ladder, walk))
    assert a.attributes["complete"] and b.attributes["complete"]
    assert np.allclose(a["energy"], b["energy"])
    z = (a["log_g"] - b["log_g"]) / np.hypot(a["log_g_err"], b["log_g_err"])
    assert BAND[0] < np.sqrt(np.mean(z**2)) < BAND[1]
    assert np.sqrt(np.mean(b["log_g_err"] ** 2)) < 0.03
