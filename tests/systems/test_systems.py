"""Discrete systems: every derived number against its definition, and small instances enumerated."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from repository import REFERENCE
from scipy import stats

from phasegrok import systems
from phasegrok.cards import kinds
from phasegrok.cards.kinds import parameters_class
from phasegrok.compiled import kernel
from phasegrok.rng import streams
from phasegrok.systems import discrete
from phasegrok.theory import ising as ising_theory
from phasegrok.theory import perceptron as perceptron_theory
from phasegrok.theory import potts as potts_theory

BONDS = np.loadtxt(REFERENCE / "edwards_anderson_L4_bonds.csv", delimiter=",", skiprows=1)
PATTERNS = np.loadtxt(REFERENCE / "perceptron_N11_P11_patterns.csv", delimiter=",")
MIXED_BONDS = [[0, 1, 0.5], [1, 2, -1.5], [2, 3, 1.0], [3, 0, -0.5], [0, 2, 2.0], [3, 4, 1.0]]

# name: kind, parameters, rows of the data file
CASES = {
    "ising L=3": ("ising-2d", {"L": 3}, None),
    "ising L=4": ("ising-2d", {"L": 4}, None),
    "ising L=5 field": ("ising-2d", {"L": 5, "h": 0.27}, None),
    "ising L=4 against field": ("ising-2d", {"L": 4, "J": 0.5, "h": -1.5}, None),
    "antiferromagnet L=4": ("ising-2d", {"L": 4, "J": -1.0}, None),
    "antiferromagnet L=3 field": ("ising-2d", {"L": 3, "J": -1.0, "h": 0.5}, None),
    "edwards-anderson": ("ising-graph", {}, BONDS),
    "edwards-anderson field": ("ising-graph", {"h": 0.4}, BONDS),
    "graph of mixed bonds": ("ising-graph", {"h": 0.25}, np.array(MIXED_BONDS)),
    "potts q=2": ("potts-2d", {"L": 3, "q": 2}, None),
    "potts q=3": ("potts-2d", {"L": 4, "q": 3}, None),
    "potts q=10": ("potts-2d", {"L": 3, "q": 10}, None),
    "potts q=20 on 9 sites": ("potts-2d", {"L": 3, "q": 20}, None),
    "curie-weiss p=3": ("curie-weiss", {"N": 20, "J3": 1.0}, None),
    "curie-weiss all": ("curie-weiss", {"N": 15, "h": 0.1, "J2": 1.0, "J3": -0.7}, None),
    "curie-weiss p=2": ("curie-weiss", {"N": 16, "J2": 1.0}, None),
    "perceptron file": ("ising-perceptron", {"N": 11, "P": 11}, PATTERNS),
    "blume-capel": ("blume-capel-2d", {"L": 4, "D": 1.98}, None),
    "blume-capel all": ("blume-capel-2d", {"L": 3, "J": -0.5, "D": 0.75, "h": 0.25}, None),
    "sherrington-kirkpatrick": (
        "sherrington-kirkpatrick", {"N": 14, "couplings": "binary", "J": 1.3}, None),
    "sherrington-kirkpatrick odd field": (
        "sherrington-kirkpatrick", {"N": 9, "couplings": "binary", "h": 0.5}, None),
    "p-spin": ("p-spin", {"N": 11, "couplings": "binary"}, None),
    "p-spin even field": ("p-spin", {"N": 12, "couplings": "binary", "J": 12 / 3**0.5, "h": 0.5},
                          None),
    "potts mean-field q=3": ("potts-mean-field", {"N": 11, "q": 3, "J": 1.7}, None),
    "potts mean-field q=20": ("potts-mean-field", {"N": 10, "q": 20}, None),
    "east": ("east", {"N": 13, "J": 0.7}, None),
    "perceptron drawn": ("ising-perceptron", {"N": 15, "P": 40, "disorder_seed": 7}, None),
}


def build(kind, parameters, rows=None):
    """System, schema and arrays of a kind."""
    model = parameters_class(kind)(**parameters)
    arrays = model.disorder(rows)
    return model.build(arrays), model, arrays


def lattice_pairs(L):
    """Bonds of the periodic square lattice, from coordinates."""
    site = {(y, x): y * L + x for y in range(L) for x in range(L)}
    return [(site[y, x], site[(y + dy) % L, (x + dx) % L])
            for y in range(L) for x in range(L) for dy, dx in ((0, 1), (1, 0))]


def definition(kind, p, arrays, s):
    """(E, Phi) as the conventions state them, from the configuration alone."""
    s = np.asarray(s, dtype=float)
    n = len(s)
    if kind == "ising-2d":
        return -p.J * sum(s[a] * s[b] for a, b in lattice_pairs(p.L)) - p.h * s.sum(), s.sum()
    if kind == "ising-graph":
        pair = sum(J * s[int(a)] * s[int(b)] for a, b, J in arrays["bonds"])
        return -pair - p.h * s.sum(), s.sum()
    if kind == "potts-2d":
        largest = max(np.count_nonzero(s == c) for c in range(p.q))
        return -float(sum(s[a] == s[b] for a, b in lattice_pairs(p.L))), largest / n
    if kind == "curie-weiss":
        m = s.mean()
        return -n * (p.h * m + p.J2 / 2.0 * m**2 + p.J3 * m**3), m
    if kind == "blume-capel-2d":
        pair = sum(s[a] * s[b] for a, b in lattice_pairs(p.L))
        return -p.J * pair + p.D * np.square(s).sum() - p.h * s.sum(), s.sum()
    if kind in ("sherrington-kirkpatrick", "p-spin"):
        order = 2 if kind == "sherrington-kirkpatrick" else 3
        sets = np.array(list(itertools.combinations(range(n), order)))
        return -arrays["couplings"] @ s[sets].prod(axis=1) - p.h * s.sum(), s.sum()
    if kind == "potts-mean-field":
        equal = sum(s[a] == s[b] for a, b in itertools.combinations(range(n), 2))
        return -p.J / n * equal, max(np.count_nonzero(s == c) for c in range(p.q)) / n
    if kind == "east":
        return p.J * s.sum(), s.mean()
    teacher, xi = arrays["patterns"][0], arrays["patterns"][1:]
    return float(np.count_nonzero(np.sign(xi @ s) != np.sign(xi @ teacher))), s @ teacher / n


@kernel
def walk(system, sites, states, sigma, cache, energy_t, phi_t, cell_t):
    """Make given moves one after the other, keeping E and Phi by their changes only."""
    energy, phi = discrete.prepare(system, sigma, cache)
    for t in range(sites.shape[0]):
        value = discrete.value_of(system, states[t])
        energy += discrete.energy_change(system, sigma, cache, sites[t], value)
        phi += discrete.order_change(system, sigma, cache, sites[t], value)
        discrete.assign(system, sigma, cache, sites[t], value)
        energy_t[t] = energy
        phi_t[t] = phi
        cell_t[t, 0] = discrete.energy_cell(system, energy)
        cell_t[t, 1] = discrete.order_cell(system, phi)


@kernel
def tabulate(system, sigma, cache, counts):
    """Count all configurations of a small system by cell."""
    n = sigma.shape[0]
    q = discrete.n_values(system)
    state = np.zeros(n, dtype=np.int64)
    for i in range(n):
        sigma[i] = discrete.value_of(system, 0)
    while True:
        energy, phi = discrete.prepare(system, sigma, cache)
        counts[discrete.energy_cell(system, energy), discrete.order_cell(system, phi)] += 1
        i = 0
        while i < n and state[i] == q - 1:
            state[i] = 0
            sigma[i] = discrete.value_of(system, 0)
            i += 1
        if i == n:
            break
        state[i] += 1
        sigma[i] = discrete.value_of(system, state[i])


def enumerate_states(system):
    """Counts by (E, Phi) of all configurations."""
    counts = np.zeros((len(system.energy_levels()), len(system.order_levels())), dtype=np.int64)
    sigma = np.zeros(system.n_sites, dtype=np.int8)
    tabulate(system, sigma, np.zeros(system.cache_size, dtype=np.int64), counts)
    return counts


@pytest.mark.parametrize("name", CASES)
def test_moves_keep_energy_and_order_parameter_true(name):
    kind, parameters, rows = CASES[name]
    system, model, arrays = build(kind, parameters, rows)
    rng = np.random.default_rng(1)
    n, q, n_moves = system.n_sites, discrete.n_values(system), 400
    sigma = np.zeros(n, dtype=np.int8)
    discrete.draw(system, sigma, streams(3, name, 1)[0])
    cache = np.zeros(system.cache_size, dtype=np.int64)
    sites, states = rng.integers(0, n, n_moves), rng.integers(0, q, n_moves)
    energy_t, phi_t = np.zeros(n_moves), np.zeros(n_moves)
    cell_t = np.zeros((n_moves, 2), dtype=np.int64)
    replayed = sigma.copy()
    walk(system, sites, states, sigma, cache, energy_t, phi_t, cell_t)
    E, Phi = system.energy_levels(), system.order_levels()
    assert np.all(np.diff(E) > 0.0) and np.all(np.diff(Phi) > 0.0)
    fresh = np.zeros_like(cache)
    for t in range(n_moves):
        replayed[sites[t]] = discrete.value_of(system, states[t])
        exact = definition(kind, model, arrays, replayed)
        assert (energy_t[t], phi_t[t]) == pytest.approx(exact, abs=1e-9)
        assert discrete.prepare(system, replayed, fresh) == pytest.approx(exact, abs=1e-9)
        assert 0 <= cell_t[t, 0] < len(E) and 0 <= cell_t[t, 1] < len(Phi)
        assert (E[cell_t[t, 0]], Phi[cell_t[t, 1]]) == pytest.approx(exact, abs=1e-9)
    assert np.array_equal(sigma, replayed) and np.array_equal(cache, fresh)


@pytest.mark.parametrize("name", CASES)
def test_plain_functions_agree_with_compiled_ones(name):
    """The functions of a system are also callable from Python, and change nothing by looking."""
    kind, parameters, rows = CASES[name]
    system, model, arrays = build(kind, parameters, rows)
    rng = np.random.default_rng(2)
    sigma = system.configuration(0.6, rng)
    cache = np.zeros(system.cache_size, dtype=np.int64)
    for _ in range(20):
        energy, phi = discrete.prepare(system, sigma, cache)
        site = int(rng.integers(system.n_sites))
        value = discrete.value_of(system, int(rng.integers(discrete.n_values(system))))
        before = sigma.copy(), cache.copy()
        energy += discrete.energy_change(system, sigma, cache, site, value)
        phi += discrete.order_change(system, sigma, cache, site, value)
        assert np.array_equal(sigma, before[0]) and np.array_equal(cache, before[1])
        discrete.assign(system, sigma, cache, site, value)
        assert (energy, phi) == pytest.approx(definition(kind, model, arrays, sigma), abs=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_every_level_is_a_cell_of_its_own(name):
    system = build(*CASES[name])[0]
    E, Phi = system.energy_levels(), system.order_levels()
    rounding = 1e-10
    for shift in (-rounding, 0.0, rounding):
        assert [discrete.energy_cell(system, e + shift) for e in E] == list(range(len(E)))
        assert [discrete.order_cell(system, p + shift) for p in Phi] == list(range(len(Phi)))


@given(
    n=st.integers(3, 9),
    steps=st.lists(st.integers(-4, 4), min_size=36, max_size=36),
    h=st.integers(-3, 3),
    unit=st.sampled_from([1.0, 0.5, 0.1, 0.3]),
    seed=st.integers(0, 1000),
)
@settings(max_examples=60, deadline=None)
def test_any_commensurate_graph_has_all_its_energies_among_the_levels(n, steps, h, unit, seed):
    pairs = [(a, b) for a in range(n) for b in range(a)]
    rows = np.array([[a, b, unit * J] for (a, b), J in zip(pairs, steps) if J or b == a - 1])
    system, model, arrays = build("ising-graph", {"h": unit * h}, rows)
    if system.n_energies > 100_000:
        pytest.fail("couplings that are multiples of one number have few levels")
    E = system.energy_levels()
    rng = np.random.default_rng(seed)
    for _ in range(10):
        sigma = rng.choice(np.array([-1, 1], dtype=np.int8), size=system.n_sites)
        energy, magnetisation = discrete.prepare(system, sigma, np.zeros(1, dtype=np.int64))
        exact = definition("ising-graph", model, arrays, sigma)
        assert (energy, magnetisation) == pytest.approx(exact, abs=1e-9)
        cell = discrete.energy_cell(system, energy)
        assert 0 <= cell < len(E) and E[cell] == pytest.approx(energy, abs=1e-7)


# --- enumeration against theory ------------------------------------------------------------------


def on_levels(system, energy, phi, table):
    """A table of theory, laid out on the cells of a system."""
    counts = np.zeros((len(system.energy_levels()), len(system.order_levels())), dtype=np.int64)
    for i, j in np.argwhere(table):
        row = np.argmin(np.abs(system.energy_levels() - energy[i, j]))
        column = np.argmin(np.abs(system.order_levels() - phi[j]))
        assert system.energy_levels()[row] == pytest.approx(energy[i, j], abs=1e-9)
        assert system.order_levels()[column] == pytest.approx(phi[j], abs=1e-9)
        counts[row, column] += int(table[i, j])
    return counts


@pytest.mark.parametrize("L, J, h", [
    (3, 1.0, 0.0), (4, 1.0, 0.0), (4, 1.0, 0.27), (4, 0.5, -1.5), (3, -1.0, 0.5), (4, -1.0, 0.0)])
def test_ising_by_enumeration_is_the_transfer_matrix_in_any_field(L, J, h):
    system = build("ising-2d", {"L": L, "J": J, "h": h})[0]
    energy, M, table = ising_theory.joint_density_of_states(L)
    shifted = J * energy[:, None] - h * M[None, :]
    assert np.array_equal(enumerate_states(system), on_levels(system, shifted, M, table))


def test_edwards_anderson_by_enumeration_is_the_reference_table():
    system = build("ising-graph", {}, BONDS)[0]
    table = np.loadtxt(REFERENCE / "edwards_anderson_L4_gE.csv", delimiter=",", skiprows=1)
    counts = enumerate_states(system).sum(axis=1)
    kept = counts > 0
    assert np.array_equal(system.energy_levels()[kept], table[:, 0])
    assert np.array_equal(counts[kept], table[:, 1])


def test_potts_by_enumeration_is_the_table_of_theory():
    system = build("potts-2d", {"L": 3, "q": 3})[0]
    energy, n_max, table = potts_theory.joint_density_of_states(3, 3)
    energies = np.repeat(energy[:, None], table.shape[1], axis=1)
    assert np.array_equal(enumerate_states(system), on_levels(system, energies, n_max / 9.0, table))


def test_curie_weiss_by_enumeration_is_binomial():
    N, h, J2, J3 = 12, 0.1, 0.5, 1.0
    system = build("curie-weiss", {"N": N, "h": h, "J2": J2, "J3": J3})[0]
    m = (2.0 * np.arange(N + 1) - N) / N
    energy = -N * (h * m + 0.5 * J2 * m**2 + J3 * m**3)
    table = np.diag([math.comb(N, k) for k in range(N + 1)])
    energies = np.repeat(energy[None, :], N + 1, axis=0)
    assert np.array_equal(enumerate_states(system), on_levels(system, energies, m, table))


def test_equal_energies_of_curie_weiss_are_one_level():
    system = build("curie-weiss", {"N": 10, "J2": 1.0})[0]  # E(m) = E(-m)
    assert len(system.energy_levels()) == 6
    assert len(system.known_cells()) == 2


def test_perceptron_by_enumeration_is_the_table_of_theory():
    system, _, arrays = build("ising-perceptron", {"N": 11, "P": 11}, PATTERNS)
    counts = perceptron_theory.joint_counts(arrays["patterns"][1:], arrays["patterns"][0])
    lines = np.loadtxt(REFERENCE / "perceptron_N11_P11_counts.csv", delimiter=",", skiprows=1)
    assert all(counts[int(e), int(d)] == g for e, d, g in lines) and counts.sum() == 2**11
    # columns of theory: differing weights, R = 1 - 2 d/N descending
    assert np.array_equal(enumerate_states(system), counts[:, ::-1])


def test_perceptron_is_symmetric_under_reversal():
    system, _, _ = build("ising-perceptron", {"N": 13, "P": 20, "disorder_seed": 3})
    counts = enumerate_states(system)
    assert np.array_equal(counts, counts[::-1, ::-1])


# --- ground states, starts, draws ----------------------------------------------------------------


@pytest.mark.parametrize("name, number", [
    ("ising L=4", 2), ("ising L=4 against field", 1), ("antiferromagnet L=4", 0),
    ("edwards-anderson", 0), ("curie-weiss p=3", 1), ("potts q=2", 1), ("perceptron file", 2),
    ("blume-capel all", 0), ("sherrington-kirkpatrick", 0), ("potts mean-field q=3", 1),
    ("east", 2)])
def test_known_cells_are_occupied_and_extreme(name, number):
    system = build(*CASES[name])[0]
    counts = enumerate_states(system) if system.n_sites < 20 else None
    known = system.known_cells()
    assert len(known) == number
    for energy, phi in known:
        e, p = discrete.energy_cell(system, energy), discrete.order_cell(system, phi)
        assert system.energy_levels()[e] == pytest.approx(energy)
        assert system.order_levels()[p] == pytest.approx(phi)
        if counts is not None:
            occupied = np.flatnonzero(counts.sum(axis=1))
            assert counts[e, p] > 0 and e in occupied[[0, -1]]


def test_ground_states_of_ferromagnets_on_larger_lattices():
    for h, M in ((0.0, {-25.0, 25.0}), (0.3, {25.0}), (-0.3, {-25.0})):
        system = build("ising-2d", {"L": 5, "h": h})[0]
        assert {phi for _, phi in system.known_cells()} == M
        for energy, phi in system.known_cells():
            sigma = np.full(25, np.sign(phi), dtype=np.int8)
            exact = discrete.prepare(system, sigma, np.zeros(1, dtype=np.int64))
            assert exact == pytest.approx((energy, phi))
            assert energy == pytest.approx(system.energy_levels()[0])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_a_start_has_the_order_parameter_asked_for(name, share):
    system = build(*CASES[name])[0]
    Phi = system.order_levels() / system.order_unit
    target = Phi[0] + share * (Phi[-1] - Phi[0])
    sigma = system.configuration(target, np.random.default_rng(5))
    cache = np.zeros(system.cache_size, dtype=np.int64)
    phi = discrete.prepare(system, sigma, cache)[1] / system.order_unit
    spacing = np.max(np.diff(Phi))
    assert abs(phi - target) <= 0.5 * spacing + 1e-12 or (
        ("potts" in name or name == "east")  # shares are rounded; East has an excitation at least
        and share == 0.0 and phi - target <= 1.0 / system.n_sites + 1e-12)


@pytest.mark.parametrize("name, n_states", [("ising L=3", 512), ("potts q=2", 512)])
def test_draw_is_uniform_over_all_states(name, n_states):
    system = build(*CASES[name])[0]
    rng, sigma = streams(1, name, 1)[0], np.zeros(9, dtype=np.int8)
    weights = 2 ** np.arange(9)
    n_draws = 20 * n_states
    index = np.empty(n_draws, dtype=np.int64)
    for k in range(n_draws):
        discrete.draw(system, sigma, rng)
        index[k] = (sigma > 0) @ weights
    chi2 = (np.square(np.bincount(index, minlength=n_states) - 20.0) / 20.0).sum()
    assert 1e-3 < stats.chi2.sf(chi2, n_states - 1) < 1.0 - 1e-3


def test_drawn_spins_are_fair_and_independent_beyond_one_random_word():
    system = build("curie-weiss", {"N": 150, "J2": 1.0})[0]
    rng, n_draws = streams(2, "words", 1)[0], 4000
    sigma = np.zeros((n_draws, 150), dtype=np.int8)
    for row in sigma:
        discrete.draw(system, row, rng)
    s = sigma.astype(float)
    z = s.sum(axis=0) / math.sqrt(n_draws)
    assert 1e-3 < stats.chi2.sf((z**2).sum(), 150) < 1.0 - 1e-3
    for lag in (1, 63, 64, 128):
        z = (s[:, lag:] * s[:, :-lag]).sum() / math.sqrt(n_draws * (150 - lag))
        assert abs(z) < 3.5


def test_number_of_states_and_units():
    assert build("ising-2d", {"L": 4})[0].log_n_states == pytest.approx(16.0 * math.log(2.0))
    assert build("potts-2d", {"L": 3, "q": 7})[0].log_n_states == pytest.approx(9 * math.log(7.0))
    assert build("ising-2d", {"L": 4})[0].order_unit == 16.0
    assert build("curie-weiss", {"N": 10, "J3": 1.0})[0].order_unit == 1.0
    assert build("ising-perceptron", {"N": 11, "P": 5})[0].order_merge == 2


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, parameters", [
    ("ising-2d", {"L": 2}), ("potts-2d", {"L": 2, "q": 3}), ("potts-2d", {"L": 4, "q": 1}),
    ("curie-weiss", {"N": 1}), ("ising-perceptron", {"N": 11, "P": 0}),
    ("blume-capel-2d", {"L": 2, "D": 1.0}), ("blume-capel-2d", {"L": 4}), ("east", {"N": 1}),
    ("sherrington-kirkpatrick", {"N": 4001}), ("p-spin", {"N": 201}), ("p-spin", {"N": 3}),
    ("potts-mean-field", {"N": 10, "q": 1}), ("sherrington-kirkpatrick", {"N": 9, "p": 3}),
    ("ising-2d", {"L": 4, "K": 1.0}), ("overdamped-1d", {"start": 0.0, "dt": 0.0})])
def test_parameters_out_of_range_are_refused(kind, parameters):
    with pytest.raises(ValidationError):
        parameters_class(kind)(**parameters)


@pytest.mark.parametrize("rows, words", [
    (None, "needs"), (np.ones((3, 2)), "three columns"), (np.array([[0, 0, 1.0]]), "itself"),
    (np.array([[0, 1.5, 1.0]]), "integers"), (np.array([[-1, 1, 1.0]]), "integers"),
    (np.array([[0, 1, np.nan]]), "finite"), (np.array([[0, 1, 1.0], [1, 0, 2.0]]), "twice")])
def test_a_wrong_bond_list_is_refused(rows, words):
    with pytest.raises(ValueError, match=words):
        parameters_class("ising-graph")().disorder(rows)


def test_a_wrong_pattern_file_is_refused():
    make = parameters_class("ising-perceptron")
    with pytest.raises(ValueError, match="even"):
        make(N=10, P=5).disorder(None)
    with pytest.raises(ValueError, match="shape"):
        make(N=11, P=10).disorder(PATTERNS)
    with pytest.raises(ValueError, match=r"neither \+1 nor -1"):
        make(N=11, P=11).disorder(0.5 * PATTERNS)


def test_incommensurate_couplings_have_no_energy_levels():
    system = build("ising-2d", {"L": 4, "h": math.pi / 10.0})[0]
    with pytest.raises(ValueError, match="common"):
        system.energy_levels()


def test_drawn_patterns_depend_on_the_disorder_seed_alone():
    make = parameters_class("ising-perceptron")
    first, same, other = (make(N=21, P=40, disorder_seed=s).disorder(None) for s in (1, 1, 2))
    assert np.array_equal(first["patterns"], same["patterns"])
    assert not np.array_equal(first["patterns"], other["patterns"])


def test_every_kind_has_a_family_and_a_range():
    """Magnetisations and overlaps lie in -1..1, fractions in 0..1, projections anywhere."""
    signed, anywhere = (-1.0, 1.0), (-math.inf, math.inf)
    ranges = {"discrete": signed, "constrained": signed, "continuous": anywhere,
              "overdamped": anywhere, "hamiltonian": anywhere}
    others = dict.fromkeys(("potts-2d", "potts-mean-field", "east", "xy", "heisenberg",
                            "lennard-jones"), (0.0, 1.0)) | {
        "lattice-gas-2d": (0.0, 2.0), "spherical-p-spin": signed}
    for kind in systems.KINDS:
        expected = others.get(kind, ranges[kinds.family(kind)])
        assert kinds.order_range(kind) == expected, kind


def test_only_functions_of_a_discrete_system_can_be_registered():
    with pytest.raises(NameError, match="no behaviour of a system"):

        @discrete.behaviour(dict)
        def energy_chnge(system, sigma, cache, site, value):
            return 0.0


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e9])
def test_energy_levels_follow_the_scale_of_the_couplings(scale):
    from phasegrok.systems.ising import common_step

    assert common_step([2.0 * scale, -3.0 * scale, 0.0]) == pytest.approx(scale, rel=1e-12)
    with pytest.raises(ValueError, match="no common step"):
        common_step([scale, 1e-8 * scale])
    assert common_step([scale, scale * math.sqrt(2.0)]) < 1e-5 * scale  # too many levels: refused
