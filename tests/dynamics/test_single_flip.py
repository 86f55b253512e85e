"""Single-site dynamics: transition probabilities, equilibrium and T = 0 against exact answers."""

import math

import numpy as np
import pytest
from scipy import stats

from phasegrok.cards.kinds import parameters_class
from phasegrok.compiled import kernel
from phasegrok.dynamics.single_flip import DYNAMICS, new_value, sweeps
from phasegrok.rng import streams
from phasegrok.statistics import mean_with_error
from phasegrok.systems import discrete
from phasegrok.theory import curie_weiss as cw_theory
from phasegrok.theory import ising as ising_theory
from phasegrok.theory import potts as potts_theory

NOTHING = np.empty(0)


def build(kind, **parameters):
    """System of a kind."""
    model = parameters_class(kind)(**parameters)
    return model.build(model.disorder(None))


@kernel
def attempts(system, heat_bath, temperature, sigma, cache, site, rng, values, changes):
    """Many independent attempted updates of one site of the same configuration."""
    for t in range(values.shape[0]):
        values[t], changes[t] = new_value(system, heat_bath, temperature, sigma, cache, site, rng)


@kernel
def proposals(system, sigma, site, rng, values):
    """Many proposals of one site."""
    for t in range(values.shape[0]):
        values[t] = discrete.propose(system, sigma, site, rng)


def simulate(system, dynamics, temperature, n_sweeps, seed, discard, start=None):
    """Series of E and Phi after each sweep, and the last configuration with [E, Phi]."""
    rng = streams(seed, [dynamics, temperature], 1)[0]
    sigma = np.zeros(system.n_sites, dtype=np.int8)
    if start is None:
        discrete.draw(system, sigma, rng)
    else:
        sigma[:] = system.configuration(start, np.random.default_rng(seed))
    cache = np.zeros(system.cache_size, dtype=np.int64)
    values = np.array(discrete.prepare(system, sigma, cache))
    heat_bath = bool(DYNAMICS[dynamics])
    sweeps(system, heat_bath, temperature, discard, sigma, cache, values, rng, NOTHING, NOTHING)
    energy_t, phi_t = np.zeros(n_sweeps), np.zeros(n_sweeps)
    sweeps(system, heat_bath, temperature, n_sweeps, sigma, cache, values, rng, energy_t, phi_t)
    return energy_t, phi_t, sigma, values


# --- one attempted update ------------------------------------------------------------------------


def formula(system, dynamics, temperature, sigma, cache, site):
    """Probability of every state of ``site`` after one attempt, from the formulas."""
    states = [discrete.value_of(system, k) for k in range(discrete.n_values(system))]
    change = np.array([discrete.energy_change(system, sigma, cache, site, v) for v in states])
    if dynamics == "heat-bath":
        weight = np.exp(-(change - change.min()) / temperature)
        return states, weight / weight.sum(), change
    here = states.index(int(sigma[site]))
    p = np.minimum(1.0, np.exp(-change / temperature)) / (len(states) - 1)
    p[here] = 0.0
    p[here] = 1.0 - p.sum()
    return states, p, change


def lattice_with(n_up):
    """3 x 3 lattice whose central spin is down and has ``n_up`` neighbours up."""
    sigma = np.full(9, -1, dtype=np.int8)
    sigma[[1, 3, 5, 7][:n_up]] = 1
    return sigma


POTTS_STATES = {
    "four colours": [0, 1, 0, 2, 0, 2, 0, 0, 0],
    "one colour around": [0, 1, 0, 1, 0, 1, 0, 1, 0],
    "ground state": [2] * 9,
}
CASES = {f"ising {k} up": (("ising-2d", dict(L=3, h=0.3)), lattice_with(k), 4) for k in range(5)}
CASES |= {
    f"potts q={q} {name}": (("potts-2d", dict(L=3, q=q)), np.array(s, dtype=np.int8), 4)
    for q in (3, 4, 10) for name, s in POTTS_STATES.items()
}
CASES |= {
    f"curie-weiss {k} up": (
        ("curie-weiss", dict(N=10, J2=0.5, J3=1.0, h=-0.2)),
        np.where(np.arange(10) < k, 1, -1).astype(np.int8), 4)
    for k in (0, 4, 5, 9, 10)
}


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("name", CASES)
def test_one_update_has_the_probabilities_of_its_formula(name, dynamics):
    (kind, parameters), sigma, site = CASES[name]
    system = build(kind, **parameters)
    cache = np.zeros(system.cache_size, dtype=np.int64)
    discrete.prepare(system, sigma, cache)
    temperature, n = 1.7, 40_000
    states, p, change = formula(system, dynamics, temperature, sigma, cache, site)
    values, changes = np.zeros(n, dtype=np.int64), np.zeros(n)
    rng = streams(11, [name, dynamics], 1)[0]
    attempts(system, bool(DYNAMICS[dynamics]), temperature, sigma, cache, site, rng, values,
             changes)
    observed = np.array([np.count_nonzero(values == v) for v in states])
    assert observed.sum() == n
    assert np.all(observed[p < 1e-15] == 0)
    possible = p > 1e-15
    chi2 = (np.square(observed - n * p)[possible] / (n * p[possible])).sum()
    if possible.sum() > 1:
        assert stats.chi2.sf(chi2, possible.sum() - 1) > 1e-4
    for v, expected in zip(states, change):
        assert changes[values == v] == pytest.approx(expected, abs=1e-12)


def test_a_chi_square_of_40000_draws_sees_three_percent():
    """The test above would reject a 3 % error of a flip probability near a half."""
    n, p = 40_000, np.array([0.5, 0.5])
    wrong = 0.5 * np.array([1.03, 0.97])
    assert stats.chi2.sf((np.square(n * (wrong - p)) / (n * p)).sum(), 1) < 1e-8


@pytest.mark.parametrize("q", [2, 3, 10])
def test_metropolis_proposes_every_other_state_equally(q):
    system = build("potts-2d", L=3, q=q)
    sigma = np.ones(9, dtype=np.int8)
    values = np.zeros(30_000, dtype=np.int64)
    proposals(system, sigma, 0, streams(1, q, 1)[0], values)
    counts = np.bincount(values, minlength=q)
    assert counts[1] == 0
    if q == 2:
        assert counts[0] == len(values)
    else:
        others = np.delete(counts, 1)
        chi2 = (np.square(others - others.mean()) / others.mean()).sum()
        assert stats.chi2.sf(chi2, q - 2) > 1e-4


@pytest.mark.parametrize("temperature", [1e-3, 1e-300])
def test_very_low_temperatures_neither_overflow_nor_climb(temperature):
    for kind, parameters in (("ising-2d", dict(L=4)), ("potts-2d", dict(L=4, q=5))):
        system = build(kind, **parameters)
        for dynamics in DYNAMICS:
            energy_t, _, _, _ = simulate(system, dynamics, temperature, 100, 1, 0)
            assert np.isfinite(energy_t).all() and np.all(np.diff(energy_t) <= 0.0)


# --- T = 0 ---------------------------------------------------------------------------------------


def frequency(system, dynamics, sigma, site, value, n=20_000):
    """Share of attempts at T = 0 that end in ``value``."""
    cache = np.zeros(system.cache_size, dtype=np.int64)
    discrete.prepare(system, sigma, cache)
    values, changes = np.zeros(n, dtype=np.int64), np.zeros(n)
    attempts(system, bool(DYNAMICS[dynamics]), 0.0, sigma, cache, site,
             streams(4, dynamics, 1)[0], values, changes)
    return np.count_nonzero(values == value) / n


def test_at_zero_temperature_ties_are_broken_by_each_rule_in_its_own_way():
    ising = build("ising-2d", L=3)
    assert frequency(ising, "metropolis", lattice_with(2), 4, 1) == 1.0  # dE = 0: accepted
    assert abs(frequency(ising, "heat-bath", lattice_with(2), 4, 1) - 0.5) < 4 * 0.5 / 20_000**0.5
    for dynamics in DYNAMICS:
        assert frequency(ising, dynamics, lattice_with(1), 4, 1) == 0.0  # uphill
        assert frequency(ising, dynamics, lattice_with(3), 4, 1) == 1.0  # downhill
    potts = build("potts-2d", L=3, q=4)
    sigma = np.array([0, 1, 0, 1, 0, 2, 0, 2, 0], dtype=np.int8)  # neighbours 1, 1, 2, 2
    for value, share in ((0, 0.0), (1, 0.5), (2, 0.5), (3, 0.0)):
        found = frequency(potts, "heat-bath", sigma, 4, value)
        assert abs(found - share) <= 4 * math.sqrt(share * (1 - share) / 20_000)


def test_a_tie_at_zero_temperature_is_one_whatever_the_last_digits_of_the_couplings():
    """The field 0.1 + 0.2 - 0.3 of three neighbours is 5e-17 in binary, and no reason to move."""
    model = parameters_class("ising-graph")()
    for sign in (1.0, -1.0):
        rows = np.array([[0, 1, 0.1], [0, 2, 0.2], [0, 3, -0.3]]) * [1.0, 1.0, sign]
        system, sigma = model.build(model.disorder(rows)), np.ones(4, dtype=np.int8)
        assert discrete.energy_change(system, sigma, np.zeros(1, dtype=np.int64), 0, -1) != 0.0
        assert frequency(system, "metropolis", sigma, 0, -1) == 1.0
        share = frequency(system, "heat-bath", sigma, 0, -1)
        assert abs(share - 0.5) < 4 * 0.5 / 20_000**0.5


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("kind, parameters", [
    ("ising-2d", dict(L=6)), ("potts-2d", dict(L=5, q=4)), ("curie-weiss", dict(N=30, J3=1.0)),
    ("ising-perceptron", dict(N=21, P=30))])
def test_at_zero_temperature_the_energy_never_rises(kind, parameters, dynamics):
    system = build(kind, **parameters)
    for seed in range(5):
        energy_t, _, sigma, values = simulate(system, dynamics, 0.0, 300, seed, 0)
        assert np.all(np.diff(energy_t) <= 1e-12)
        cache = np.zeros(system.cache_size, dtype=np.int64)
        assert discrete.prepare(system, sigma, cache) == pytest.approx(tuple(values), abs=1e-9)
        for site in range(system.n_sites):  # a local minimum: no single move goes down
            for k in range(discrete.n_values(system)):
                value = discrete.value_of(system, k)
                rise = discrete.energy_change(system, sigma, cache, site, value)
                assert rise >= 0.0


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_curie_weiss_without_noise_relaxes_as_its_force_says(dynamics):
    """E = -N m^3 falls with m everywhere: every spin turns up when it is visited, m = 1 - e^-t."""
    N = 20_000
    _, phi_t, _, _ = simulate(build("curie-weiss", N=N, J3=1.0), dynamics, 0.0, 5, 1, 0, start=0.0)
    still_down = 0.5 * (1.0 - 1.0 / N) ** (N * np.arange(1, 6))
    error = 2.0 * np.sqrt(0.5 * N * (2.0 * still_down) * (1.0 - 2.0 * still_down)) / N
    assert np.all(np.abs(phi_t - (1.0 - 2.0 * still_down)) < 4.0 * error)


# --- equilibrium ---------------------------------------------------------------------------------


def canonical_moments(energy, counts, temperature):
    """Mean and variance of E from an exact table."""
    log_w = np.array([math.log(int(g)) for g in counts]) - np.asarray(energy) / temperature
    p = np.exp(log_w - log_w.max())
    p /= p.sum()
    mean = p @ energy
    return mean, p @ np.square(energy - mean)


def exact_moments(kind, parameters, temperature):
    """Exact mean and variance of E of the whole system."""
    if kind == "ising-2d":
        exact = ising_theory.kaufman(parameters["L"], temperature)
        return float(exact.energy), float(exact.heat_capacity) * temperature**2
    if kind == "potts-2d":
        energy, g = potts_theory.density_of_states(parameters["q"], parameters["L"])
        return canonical_moments(energy, g, temperature)
    couplings = {k: v for k, v in parameters.items() if k != "N"}
    exact = cw_theory.thermodynamics(parameters["N"], temperature, **couplings)
    return exact.energy, exact.heat_capacity * temperature**2


EQUILIBRIA = [
    ("ising-2d", dict(L=4), 2.3, 1_000_000),
    ("ising-2d", dict(L=8), 2.6, 500_000),
    ("potts-2d", dict(L=4, q=3), 1.1, 300_000),
    ("curie-weiss", dict(N=50, h=0.05, J2=0.5, J3=1.0), 1.9, 1_000_000),
]


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("kind, parameters, temperature, n_sweeps", EQUILIBRIA)
def test_equilibrium_energy_and_heat_capacity(kind, parameters, temperature, n_sweeps, dynamics):
    system = build(kind, **parameters)
    mean, variance = exact_moments(kind, parameters, temperature)
    energy_t, _, sigma, values = simulate(system, dynamics, temperature, n_sweeps, 21, 2000)
    estimate = mean_with_error(energy_t)
    assert estimate.error < 0.007 * abs(mean)  # four errors see 3 %
    assert abs(estimate.value - mean) < 4.0 * estimate.error
    # the variance about the exact mean is C T^2 and has an error of its own
    spread = mean_with_error(np.square(energy_t - mean))
    assert spread.error < 0.0075 * variance
    assert abs(spread.value - variance) < 4.0 * spread.error
    exact = discrete.prepare(system, sigma, np.zeros(system.cache_size, dtype=np.int64))
    assert tuple(values) == pytest.approx(exact, abs=1e-8)


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_equilibrium_magnetisation_of_the_ising_lattice(dynamics):
    temperature = 2.4
    energy, M, g_EM = ising_theory.joint_density_of_states(4)
    weight = g_EM.astype(float) * np.exp(-(energy[:, None] - energy[0]) / temperature)
    p_M = weight.sum(axis=0) / weight.sum()
    system = build("ising-2d", L=4)
    _, phi_t, _, _ = simulate(system, dynamics, temperature, 200_000, 5, 1000)
    for power in (1, 2, 4):
        estimate = mean_with_error(np.abs(phi_t) ** power)
        exact = p_M @ np.abs(M) ** power
        assert estimate.error < 0.007 * exact
        assert abs(estimate.value - exact) < 4.0 * estimate.error


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_equilibrium_in_a_field_and_with_antiferromagnetic_bonds(dynamics):
    energy, M, g_EM = ising_theory.joint_density_of_states(4)
    J, h, temperature = -1.0, 0.5, 2.0
    E = J * energy[:, None] - h * M[None, :]
    weight = g_EM.astype(float) * np.exp(-(E - E.min()) / temperature)
    p = weight / weight.sum()
    system = build("ising-2d", L=4, J=J, h=h)
    energy_t, phi_t, _, _ = simulate(system, dynamics, temperature, 1_000_000, 6, 1000)
    for series, exact in ((energy_t, (p * E).sum()), (phi_t, (p * M[None, :]).sum())):
        estimate = mean_with_error(series)
        assert estimate.error < 0.007 * abs(exact)
        assert abs(estimate.value - exact) < 4.0 * estimate.error


def test_order_parameter_of_potts_in_equilibrium():
    temperature = 1.0
    energy, n_max, g = potts_theory.joint_density_of_states(3, 4)
    weight = g * np.exp(-(energy[:, None] - energy[0]) / temperature)
    exact = (weight / weight.sum()).sum(axis=0) @ n_max / 16.0
    for dynamics in DYNAMICS:
        _, phi_t, _, _ = simulate(build("potts-2d", L=4, q=3), dynamics, temperature, 60_000, 7,
                                  1000)
        estimate = mean_with_error(phi_t)
        assert estimate.error < 0.007 * exact
        assert abs(estimate.value - exact) < 4.0 * estimate.error


# --- bookkeeping ---------------------------------------------------------------------------------


def test_a_run_cut_into_blocks_gives_the_same_bits():
    system = build("potts-2d", L=5, q=4)
    ends = []
    for blocks in ([60], [1, 20, 39]):
        rng = streams(9, "blocks", 1)[0]
        sigma = np.zeros(25, dtype=np.int8)
        discrete.draw(system, sigma, rng)
        cache = np.zeros(system.cache_size, dtype=np.int64)
        values = np.array(discrete.prepare(system, sigma, cache))
        series = []
        for n in blocks:
            energy_t, phi_t = np.zeros(n), np.zeros(n)
            sweeps(system, True, 1.0, n, sigma, cache, values, rng, energy_t, phi_t)
            series.append(np.stack([energy_t, phi_t]))
        ends.append((np.concatenate(series, axis=1), sigma, values, rng))
    for a, b in zip(*ends):
        assert np.array_equal(a, b)


def test_all_sites_are_updated_equally_often():
    """At infinite temperature heat bath forgets a site at each visit: exp(-1) stay as they were."""
    system = build("curie-weiss", N=200, J2=1.0)
    unchanged = []
    for seed in range(400):
        _, _, sigma, _ = simulate(system, "heat-bath", 1e12, 1, seed, 0, start=-1.0)
        unchanged.append(sigma == -1)
    share = np.mean(unchanged, axis=0)
    expected = 0.5 * (1.0 + (1.0 - 1.0 / 200) ** 200)
    z = (share - expected) / math.sqrt(expected * (1.0 - expected) / 400)
    assert 1e-3 < stats.chi2.sf((z**2).sum(), 200) < 1.0 - 1e-3
    assert abs(z.mean()) * math.sqrt(200) < 4.0
