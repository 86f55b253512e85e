"""Blume-Capel, lattice gas, fully connected glasses, mean-field Potts and East: statics, dynamics.

Small instances are enumerated by numpy from the definition of the energy; the kernels' moves and
levels are tested with those of the other systems in ``test_systems.py``.
"""

import functools
import itertools
import math

import numpy as np
import pytest
from driving import drive
from repository import REFERENCE
from scipy import stats

from phasegrok.cards.kinds import parameters_class
from phasegrok.dynamics.single_flip import DYNAMICS, new_value, sweeps
from phasegrok.protocols.wang_landau import WangLandau
from phasegrok.rng import streams
from phasegrok.statistics import mean_with_error
from phasegrok.systems import discrete

NOTHING = np.empty(0)
CASES = {
    "blume-capel": ("blume-capel-2d", {"L": 3, "D": 1.75, "h": 0.25}),
    "sherrington-kirkpatrick": ("sherrington-kirkpatrick", {"N": 12, "couplings": "binary"}),
    "p-spin": ("p-spin", {"N": 11, "couplings": "binary"}),
    "gaussian sherrington-kirkpatrick": ("sherrington-kirkpatrick", {"N": 12, "h": 0.2}),
    "gaussian p-spin": ("p-spin", {"N": 10, "disorder_seed": 3}),
    "mean-field potts": ("potts-mean-field", {"N": 8, "q": 3}),
    "east": ("east", {"N": 8}),
    "lattice gas": ("lattice-gas-2d", {"L": 4, "density": 0.4}),
    "lattice gas, any two": ("lattice-gas-2d", {"L": 4, "epsilon": 0.5, "exchange": "any"}),
}
LANDSCAPES = [name for name in CASES if "gaussian" not in name]


def build(kind, parameters):
    """System, schema and arrays of a kind."""
    model = parameters_class(kind)(**parameters)
    arrays = model.disorder(None)
    return model.build(arrays), model, arrays


def glass_energy(couplings, s, order):
    """-sum J s s (s) over all sets of ``order`` spins, for each row of ``s``."""
    energy = np.zeros(len(s))
    for J, sites in zip(couplings, itertools.combinations(range(s.shape[1]), order)):
        energy -= J * s[:, sites].prod(axis=1)
    return energy


@functools.cache
def enumerated(name):
    """System, and states (rows), E and Phi of all its configurations, from the definition."""
    kind, parameters = CASES[name]
    system, p, arrays = build(kind, parameters)
    q, n = discrete.n_values(system), system.n_sites
    values = [discrete.value_of(system, k) for k in range(q)]
    s = np.array(list(itertools.product(values, repeat=n)), dtype=float)
    if kind == "lattice-gas-2d":
        s = s[s.sum(axis=1) == system.particles]
        grid = s.reshape(-1, p.L, p.L)
        around = np.roll(grid, 1, axis=1) + np.roll(grid, 1, axis=2)
        energy = -p.epsilon * (grid * around).sum(axis=(1, 2))
        cosine = np.array([1.0, 1.0, -1.0, -1.0])
        waves = [np.abs(grid.sum(axis=axis) @ np.roll(cosine, shift)) for axis in (1, 2)
                 for shift in (0, 1)]
        return system, s, energy, np.maximum(waves[0] + waves[1], waves[2] + waves[3])
    if kind == "blume-capel-2d":
        grid = s.reshape(-1, p.L, p.L)
        around = np.roll(grid, 1, axis=1) + np.roll(grid, 1, axis=2)
        energy = (-p.J * grid * around + p.D * grid**2 - p.h * grid).sum(axis=(1, 2))
        return system, s, energy, s.sum(axis=1)
    if kind == "potts-mean-field":
        counts = np.stack([(s == c).sum(axis=1) for c in range(q)])
        energy = -p.J / n * (counts * (counts - 1) // 2).sum(axis=0)
        return system, s, energy, counts.max(axis=0) / n
    if kind == "east":
        return system, s, p.J * s.sum(axis=1), s.mean(axis=1)
    energy = glass_energy(arrays["couplings"], s, 2 if kind == "sherrington-kirkpatrick" else 3)
    return system, s, energy - p.h * s.sum(axis=1), s.sum(axis=1)


def started(system, seed):
    """A random configuration with its cache, values and generator."""
    rng = streams(seed, "families", 1)[0]
    sigma = np.zeros(system.n_sites, dtype=np.int8)
    cache = np.zeros(system.cache_size, dtype=np.int64)
    values = np.zeros(2)
    discrete.draw_and_prepare(system, True, sigma, cache, values, rng)
    return sigma, cache, values, rng


def simulate(system, dynamics, temperature, n_sweeps, seed):
    """Series of E and Phi after each sweep."""
    chain = started(system, seed)
    energy_t, phi_t = np.zeros(n_sweeps), np.zeros(n_sweeps)
    heat_bath = bool(DYNAMICS[dynamics])
    sweeps(system, heat_bath, temperature, 200, *chain, NOTHING, NOTHING)
    sweeps(system, heat_bath, temperature, n_sweeps, *chain, energy_t, phi_t)
    return energy_t, phi_t


# --- statics -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LANDSCAPES)
def test_wang_landau_finds_the_enumerated_landscape(name):
    system, _, energy, phi = enumerated(name)
    protocol = WangLandau(system, 200_000, 8, joint=True)
    state = protocol.init(1)
    while protocol.done(state) < protocol.total():
        protocol.advance(state, 10**9)
    group = protocol.result(state)["density_of_states"]
    assert group.attributes["complete"], group.attributes["complete_reason"]
    E, Phi = system.energy_levels(), system.order_levels()
    exact = np.zeros((len(E), len(Phi)))
    rows = np.argmin(np.abs(energy[:, None] - E), axis=1)
    columns = np.argmin(np.abs(phi[:, None] - Phi), axis=1)
    assert E[rows] == pytest.approx(energy, abs=1e-9)
    assert Phi[columns] == pytest.approx(phi, abs=1e-9)
    np.add.at(exact, (rows, columns), 1.0)
    exact = exact[exact.sum(axis=1) > 0]
    assert group["energy"] == pytest.approx(np.unique(energy.round(9)), abs=1e-8)
    log_g, error = group["log_g"], group["log_g_err"]
    assert np.array_equal(np.isfinite(log_g), exact > 0)
    kept = exact > 0
    assert np.median(error[kept]) < 0.01
    z = (log_g[kept] - np.log(exact[kept])) / error[kept]
    assert 0.4 < math.sqrt(np.mean(z**2)) < 2.7  # the band of one run, see test_wang_landau.py


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("temperature", [0.7, 1.6])
@pytest.mark.parametrize("name", CASES)
def test_canonical_averages_are_those_of_enumeration(name, temperature, dynamics):
    system, s, energy, phi = enumerated(name)
    temperature *= {"mean-field potts": 0.3, "east": 1.6, "lattice gas": 0.5,
                    "lattice gas, any two": 0.3}.get(name, 1.0)
    weight = np.exp(-(energy - energy.min()) / temperature)
    if name == "east":
        weight[s.sum(axis=1) == 0] = 0.0  # the isolated state is never reached
    weight /= weight.sum()
    energy_t, phi_t = simulate(system, dynamics, temperature, 500_000, 5)
    unit = system.order_unit
    for series, values in ((energy_t, energy), (np.square(energy_t), np.square(energy)),
                           (np.square(phi_t / unit), np.square(phi / unit))):
        estimate, exact = mean_with_error(series), weight @ values
        assert estimate.error < 0.0075 * abs(exact)  # four errors see 3 %
        assert abs(estimate.value - exact) < 4.0 * estimate.error


@pytest.mark.parametrize("J, D, h", [
    (1.0, 1.5, 0.0), (1.0, 2.0, 0.0), (1.0, 2.5, 0.0), (1.0, 1.9, 0.3), (1.0, 2.2, 0.1),
    (0.5, 1.1, -0.3), (0.0, -1.0, 0.5)])
def test_blume_capel_ground_states_are_the_lowest_of_all_states(J, D, h):
    system = build("blume-capel-2d", {"L": 3, "J": J, "D": D, "h": h})[0]
    s = enumerated("blume-capel")[1]
    grid = s.reshape(-1, 3, 3)
    around = np.roll(grid, 1, axis=1) + np.roll(grid, 1, axis=2)
    energy = (-J * grid * around + D * grid**2 - h * grid).sum(axis=(1, 2))
    lowest = energy < energy.min() + 1e-9
    found = {(round(e, 9), m) for e, m in system.known_cells()}
    assert found <= {(round(e, 9), m) for e, m in zip(energy[lowest], s[lowest].sum(axis=1))}
    uniform = lowest & (np.ptp(s, axis=1) == 0.0)
    assert len(found) == np.count_nonzero(uniform)


@pytest.mark.parametrize("name", ["gaussian sherrington-kirkpatrick", "gaussian p-spin",
                                  "sherrington-kirkpatrick", "p-spin"])
def test_repeated_quenches_find_the_enumerated_ground_state_of_a_glass(name):
    system, _, energy, _ = enumerated(name)
    lowest = []
    for seed in range(200):
        sigma, cache, values, rng = started(system, seed)
        sweeps(system, True, 0.0, 30, sigma, cache, values, rng, NOTHING, NOTHING)
        lowest.append(values[0])
    assert min(lowest) == pytest.approx(energy.min(), abs=1e-9)


# --- glasses -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, N, n_sweeps", [
    ("sherrington-kirkpatrick", 150, 3000), ("p-spin", 40, 1000)])
def test_fields_and_energy_do_not_drift(kind, N, n_sweeps):
    """Couplings are integers, so that a long run ends at exactly the sums made anew."""
    system, _, _ = build(kind, {"N": N})
    sigma, cache, values, rng = started(system, 1)
    sweeps(system, False, 3.0, n_sweeps, sigma, cache, values, rng, NOTHING, NOTHING)
    fresh = np.zeros_like(cache)
    assert discrete.prepare(system, sigma, fresh) == tuple(values)
    assert np.array_equal(cache, fresh)


@pytest.mark.parametrize("couplings", ["gaussian", "binary"])
@pytest.mark.parametrize("kind, N, order", [("sherrington-kirkpatrick", 120, 2), ("p-spin", 40, 3)])
def test_energy_at_high_temperature(kind, N, order, couplings):
    """Integration by parts: [E] = -(s^2/T) sum (1 - <s s (s)>^2), s^2 the couplings' variance.

    In the paramagnet the sum of <s_i s_j>^2 is N/(2 (T^2 - 1)) for p = 2, and s^2/T^2 a set for
    p = 3, both to leading order in 1/N.
    """
    T, samples = 2.5, 60
    energies = []
    for seed in range(samples):
        system, _, _ = build(kind, {"N": N, "couplings": couplings, "disorder_seed": seed})
        energies.append(simulate(system, "heat-bath", T, 600, seed)[0].mean())
    variance = math.factorial(order) / (2.0 * N ** (order - 1))
    correlated = N / (2.0 * (T**2 - 1.0)) if order == 2 else math.comb(N, 3) * variance / T**2
    exact = -variance / T * (math.comb(N, order) - correlated)
    error = np.std(energies, ddof=1) / math.sqrt(samples)
    assert error < 0.0075 * abs(exact)
    assert abs(np.mean(energies) - exact) < 3.5 * error
    assert exact / N == pytest.approx(-1.0 / (2.0 * T), rel=0.1)  # the annealed limit


@pytest.mark.parametrize("kind, N, order", [("sherrington-kirkpatrick", 200, 2), ("p-spin", 50, 3)])
def test_couplings_have_the_variance_of_the_convention(kind, N, order):
    J = 1.7
    variance = J**2 * math.factorial(order) / (2.0 * N ** (order - 1))
    model = parameters_class(kind)(N=N, J=J)
    drawn = model.disorder(None)["couplings"]
    number = math.comb(N, order)
    assert drawn.shape == (number,)
    assert abs(np.mean(drawn**2) / variance - 1.0) < 3.5 * math.sqrt(2.0 / number) < 0.04
    assert abs(drawn.mean()) < 3.5 * math.sqrt(variance / number)
    signs = parameters_class(kind)(N=N, J=J, couplings="binary").disorder(None)["couplings"]
    assert np.abs(signs) == pytest.approx(math.sqrt(variance), rel=1e-12)
    assert abs(np.sign(signs).mean()) < 3.5 / math.sqrt(number)


@pytest.mark.parametrize("kind, N, order", [("sherrington-kirkpatrick", 9, 2), ("p-spin", 8, 3)])
def test_couplings_given_in_a_file_are_those_drawn(kind, N, order):
    system, model, arrays = build(kind, {"N": N, "disorder_seed": 4})
    sets = np.array(list(itertools.combinations(range(N), order)))
    rows = np.column_stack([sets[:, ::-1], arrays["couplings"]])[::-1]
    given = model.disorder(rows)
    assert np.array_equal(given["couplings"], arrays["couplings"])
    assert np.array_equal(model.build(given).multiples, system.multiples)
    sparse = model.disorder(rows[::3])["couplings"]
    assert np.count_nonzero(sparse) == len(rows[::3])
    assert not np.array_equal(parameters_class(kind)(N=N, disorder_seed=5).disorder(None)
                              ["couplings"], arrays["couplings"])


@pytest.mark.parametrize("rows, words", [
    (np.ones((3, 2)), "2 columns of sites"), ([[0, 0, 1.0]], "itself"), ([[0, 9, 1.0]], "0 to 8"),
    ([[0, 1.5, 1.0]], "integers"), ([[-1, 1, 1.0]], "integers"), ([[0, 1, np.nan]], "finite"),
    ([[0, 1, 1.0], [1, 0, 2.0]], "twice"), ([[0, 1, 0.0]], "zero")])
def test_a_wrong_list_of_couplings_is_refused(rows, words):
    with pytest.raises(ValueError, match=words):
        parameters_class("sherrington-kirkpatrick")(N=9).disorder(np.asarray(rows, dtype=float))


def test_landscapes_without_a_common_step_or_with_too_many_cells_are_refused():
    for kind, parameters, words in (
        ("sherrington-kirkpatrick", {"N": 12}, "no energy levels"),
        ("p-spin", {"N": 12}, "no energy levels"),
        ("sherrington-kirkpatrick", {"N": 10, "couplings": "binary", "h": 0.5}, "no energy levels"),
        ("blume-capel-2d", {"L": 4, "D": math.pi / 2.0}, "no large common step"),
        ("potts-mean-field", {"N": 2000, "q": 3}, "too many"),
    ):
        system = build(kind, parameters)[0]
        with pytest.raises(ValueError, match=words):
            system.energy_levels()
        assert np.isfinite(simulate(system, "heat-bath", 1.0, 1, 1)[0]).all()


# --- the East model ------------------------------------------------------------------------------


def transitions(N, temperature, dynamics):
    """P[a, b] of one attempt among the 2^N states (bit i: n_i) of the East model at J = 1."""
    up, down = (math.exp(-1.0 / temperature), 1.0) if dynamics == "metropolis" else (
        1.0 / (1.0 + math.exp(1.0 / temperature)), 1.0 / (1.0 + math.exp(-1.0 / temperature)))
    P = np.zeros((2**N, 2**N))
    for a in range(2**N):
        for i in range(N):
            if a >> ((i - 1) % N) & 1:
                P[a, a ^ (1 << i)] += (down if a >> i & 1 else up) / N
        P[a, a] = 1.0 - P[a].sum()
    return P


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_east_relaxes_as_its_master_equation(dynamics):
    """Mean occupation of every site, after a start with one excitation and with all."""
    N, temperature, runs, n_sweeps = 6, 0.8, 4000, 12
    system = build("east", {"N": N})[0]
    P = np.linalg.matrix_power(transitions(N, temperature, dynamics), N * n_sweeps)
    occupied = np.array([[a >> i & 1 for i in range(N)] for a in range(2**N)], dtype=float)
    rng = streams(3, dynamics, 1)[0]
    cache, values = np.zeros(1, dtype=np.int64), np.zeros(2)
    for start in (1, 2**N - 1):
        mean = P[start] @ occupied
        covariance = (occupied - mean).T @ (P[start][:, None] * (occupied - mean))
        ends = np.zeros((runs, N))
        for k in range(runs):
            sigma = occupied[start].astype(np.int8)
            sweeps(system, bool(DYNAMICS[dynamics]), temperature, n_sweeps, sigma, cache, values,
                   rng, NOTHING, NOTHING)
            ends[k] = sigma
        difference = ends.mean(axis=0) - mean
        chi2 = runs * difference @ np.linalg.solve(covariance, difference)
        assert 1e-3 < stats.chi2.sf(chi2, N) < 1.0 - 1e-3
        total = math.sqrt(covariance.sum() / runs)
        assert abs(difference.sum()) < 3.5 * total < 0.04 * mean.sum()
        # far from equilibrium, so that the rates matter
        assert abs(mean.sum() - N / (1.0 + math.exp(1.0 / temperature))) > 4.0 * total


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_east_moves_only_beside_an_excitation(dynamics):
    system = build("east", {"N": 20})[0]
    sigma, cache, _, rng = started(system, 2)
    sites = np.random.default_rng(1).integers(0, 20, 5000)
    moves = 0
    for site in sites:
        value, change = new_value(system, bool(DYNAMICS[dynamics]), 0.7, sigma, cache, site, rng)
        if value != sigma[site]:
            assert sigma[site - 1] == 1 and discrete.allowed(system, sigma, cache, site)
            assert change == value - sigma[site]
            discrete.assign(system, sigma, cache, site, value)
            moves += 1
        assert sigma.any()
    assert moves > 200


def test_east_is_never_started_in_its_isolated_state():
    system = build("east", {"N": 3})[0]
    index = [started(system, seed)[0] @ np.array([1, 2, 4]) for seed in range(1400)]
    counts = np.bincount(index, minlength=8)
    assert counts[0] == 0
    chi2 = (np.square(counts[1:] - 200.0) / 200.0).sum()
    assert 1e-3 < stats.chi2.sf(chi2, 6) < 1.0 - 1e-3
    assert system.configuration(0.0, np.random.default_rng(1)).sum() == 1


def test_a_system_without_a_constraint_may_move_everywhere():
    system = build("blume-capel-2d", {"L": 3, "D": 1.0})[0]
    sigma, cache, _, _ = started(system, 1)
    assert all(discrete.allowed(system, sigma, cache, site) for site in range(9))


# --- draws and bookkeeping -----------------------------------------------------------------------


def test_blume_capel_draws_all_states_equally():
    system = build("blume-capel-2d", {"L": 3, "D": 1.0})[0]
    draws = np.array([started(system, seed)[0] for seed in range(3000)])
    for value in (-1, 0, 1):
        z = (np.mean(draws == value, axis=0) - 1.0 / 3.0) / math.sqrt(2.0 / 9.0 / 3000)
        assert 1e-3 < stats.chi2.sf((z**2).sum(), 9) < 1.0 - 1e-3


@pytest.mark.parametrize("name", ["gaussian sherrington-kirkpatrick", "gaussian p-spin",
                                  "mean-field potts", "blume-capel", "east", "lattice gas"])
def test_a_run_cut_into_blocks_and_resumed_gives_the_same_bits(name):
    system = build(*CASES[name])[0]
    ends = []
    for blocks in ([40], [1, 12, 27]):
        chain = started(system, 9)
        for n in blocks:
            chain = tuple(array.copy() for array in chain)  # as if read from a checkpoint
            sweeps(system, True, 0.6, n, *chain, NOTHING, NOTHING)
        ends.append(chain)
    for a, b in zip(*ends):
        assert np.array_equal(a, b)


# --- moves of a system's own ---------------------------------------------------------------------


@pytest.mark.parametrize("exchange", ["neighbours", "any"])
def test_lattice_gas_draws_all_places_equally_and_keeps_its_particles(exchange):
    system, *_ = build("lattice-gas-2d", {"L": 4, "density": 0.3, "exchange": exchange})
    assert system.particles == 5
    assert system.log_n_states == pytest.approx(math.log(math.comb(16, 5)))
    draws = np.array([started(system, seed)[0] for seed in range(3000)])
    assert np.all(draws.sum(axis=1) == 5)
    # sites of one draw exclude one another: the covariance is that of 16 sites of a fixed sum
    z = (draws.mean(axis=0) - 5 / 16) / math.sqrt(5 / 16 * 11 / 16 / 3000)
    assert 1e-3 < stats.chi2.sf((z**2).sum() * 15 / 16, 15) < 1.0 - 1e-3
    chain = started(system, 1)
    sweeps(system, False, 0.4, 1000, *chain, NOTHING, NOTHING)
    assert chain[0].sum() == 5


@pytest.mark.parametrize("dynamics, rate", [("metropolis", 1.0), ("heat-bath", 0.5)])
def test_free_particles_diffuse_as_their_master_equation(dynamics, rate):
    """Without attraction the mean density obeys it exactly: exchanges of two particles are none.

    An attempt exchanges each of the 2 N bonds with probability rate/2N, so that a wave of wave
    number k is multiplied by 1 - rate (1 - cos k)/N.
    """
    L, t, number = 8, 3, 8000
    system, *_ = build("lattice-gas-2d", {"L": L, "density": 0.5})
    n, k = L * L, 2.0 * math.pi / L
    slab = system.configuration(1.0, np.random.default_rng(0))
    wave = np.tile(np.exp(1j * k * np.arange(L)), L)
    begun, after = abs(slab @ wave), np.empty(number)
    for r, rng in enumerate(streams(3, ["diffusion", dynamics], number)):
        sigma, cache, values = slab.copy(), np.zeros(4, dtype=np.int64), np.zeros(2)
        discrete.draw_and_prepare(system, False, sigma, cache, values, rng)
        sweeps(system, bool(DYNAMICS[dynamics]), 1e12, t, sigma, cache, values, rng, NOTHING,
               NOTHING)
        after[r] = (sigma @ wave * np.conj(slab @ wave)).real / begun
    exact = begun * (1.0 - rate * (1.0 - math.cos(k)) / n) ** (n * t)
    error = after.std() / math.sqrt(number)
    assert error < 0.01 * exact
    assert abs(after.mean() - exact) < 4.0 * error


def test_lattice_gas_is_the_ising_model_at_fixed_magnetisation():
    """8 x 8 sites, half of them filled: the column M = 0 of the exact g(E, M)."""
    system, *_ = build("lattice-gas-2d", {"L": 8, "exchange": "any"})
    E, M, number = np.loadtxt(REFERENCE / "ising2d_gEM_L8.csv", delimiter=",", skiprows=1).T
    exact = dict(zip(-(128.0 - E[M == 0.0]) / 4.0, np.log(number[M == 0.0])))
    z = []
    for seed in range(2):
        protocol = WangLandau(system, 150_000, 8)
        group = protocol.result(drive(protocol, seed))["density_of_states"]
        assert group["energy"].tolist() == sorted(exact)
        error = group["log_g"] - [exact[e] for e in group["energy"].tolist()]
        assert np.sqrt(np.mean(error**2)) < 0.05
        z.append(error / group["log_g_err"])
    assert 0.5 < np.sqrt(np.mean(np.square(z))) < 2.1
