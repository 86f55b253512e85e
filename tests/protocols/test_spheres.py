"""Coordinates on spheres: unit vectors and the spherical glass, against exact answers."""

import itertools
import math
import re

import numpy as np
import pytest
from driving import drive
from scipy import integrate
from scipy.special import dawsn

from phasegrok.cards.kinds import parameters_class
from phasegrok.dynamics.hamiltonian_steps import HamiltonianSteps
from phasegrok.dynamics.spheres import transported
from phasegrok.protocols.canonical import Canonical
from phasegrok.protocols.clones import HamiltonianClones
from phasegrok.systems import discrete, hamiltonian, spherical_p_spin
from phasegrok.systems.checks import check_system
from phasegrok.systems.heisenberg import Heisenberg
from phasegrok.systems.xy import XY
from phasegrok.theory import coordinates
from phasegrok.theory import spherical_p_spin as theory
from phasegrok.theory.solved import exact_averages

BOTH = pytest.mark.parametrize("friction", [None, 0.7])


def pair(h):
    """Two spins, E = -h s s': twice the same bond, of half the strength."""
    return Heisenberg(0.5 * h, np.array([[1], [0]]))


def spins(polar):
    """Two unit vectors in a plane through the z axis, at ``polar`` angles."""
    return np.array([[math.sin(a), 0.0, math.cos(a)] for a in polar]).ravel()


def averages(engine, temperatures, sweeps, replicas=16, exchange=False):
    """Group ``averages`` at each temperature."""
    protocol = Canonical(engine, temperatures, replicas, sweeps, 2000, exchange, tune=False)
    return protocol.result(drive(protocol))["averages"]


# --- equilibrium ---------------------------------------------------------------------------------


def test_three_unit_vectors_on_a_ring_are_those_of_a_triple_integral():
    t, w = np.polynomial.legendre.leggauss(60)
    a, b, angle = np.meshgrid(t, t, np.linspace(0.0, 2.0 * math.pi, 64, endpoint=False),
                              indexing="ij")
    energy = -1.5 * (a + b + a * b + np.sqrt((1.0 - a * a) * (1.0 - b * b)) * np.cos(angle))
    for T in (0.4, 1.0, 5.0):
        weight = w[:, None, None] * w[:, None] * np.exp(-energy / T)
        mean = (weight * energy).sum() / weight.sum()
        square = (weight * energy**2).sum() / weight.sum()
        found = coordinates.heisenberg_ring(3, 1.5, T)
        assert found == pytest.approx((mean, (square - mean**2) / T**2), rel=1e-10)
        long = coordinates.heisenberg_ring(400, 1.5, T).energy / 400
        assert long == pytest.approx(-1.5 / math.tanh(1.5 / T) + T, rel=1e-8)


@BOTH
def test_two_spins_have_the_average_of_langevin(friction):
    """<s s'> = coth(h/T) - T/h, of the uniform measure on both spheres."""
    h, temperatures = 1.3, (0.4, 1.0)
    engine = HamiltonianSteps((pair(h),), 0.5 if friction else 0.2, friction)
    group = averages(engine, temperatures, 10_000, replicas=64)
    x = h / np.array(temperatures)
    exact = {"energy": -0.5 * h * (1.0 / np.tanh(x) - 1.0 / x),
             "heat_capacity": 0.5 * (1.0 - x**2 / np.sinh(x) ** 2)}
    for name, value in exact.items():
        error = group[f"{name}_err"]
        assert np.all(error < 0.01 * np.abs(value))
        assert np.all(np.abs(group[name] - value) < 4.0 * error)


def test_exchange_of_replicas_keeps_each_temperature_in_equilibrium():
    """Velocities stay at their rung, in the tangent spaces of where they are then."""
    temperatures = (0.2, 0.35, 0.6, 1.0)
    model = parameters_class("heisenberg")(L=5, dimension=1)
    engine = HamiltonianSteps((model.build({}),), 0.35, 0.05)  # they live for many exchanges
    group = averages(engine, temperatures, 8000, replicas=64, exchange=True)
    exact = exact_averages("heisenberg", model, temperatures)
    error = group["energy_err"]
    assert np.all(error < 0.005 * np.array(temperatures))
    assert np.all(np.abs(group["energy"] - exact["energy"]) < 4.0 * error)


def test_transport_keeps_lengths_and_comes_back():
    rng = np.random.default_rng(1)
    x, to = rng.standard_normal((2, 5, 12))
    size, radius = 4, 1.7
    for a in (x, to):
        groups = a.reshape(-1, size)
        groups *= radius / np.linalg.norm(groups, axis=1, keepdims=True)
    to[0] = -x[0]  # the opposite points
    v = rng.standard_normal((5, 12))
    v -= (np.sum((v * x).reshape(5, 3, size), axis=2, keepdims=True) / radius**2
          * x.reshape(5, 3, size)).reshape(5, 12)
    moved = transported(size, radius, x, to, v)
    assert np.abs((moved * to).reshape(5, 3, size).sum(axis=2)).max() < 1e-12
    assert np.linalg.norm(moved) == pytest.approx(np.linalg.norm(v), rel=1e-12)
    assert transported(size, radius, to, x, moved) == pytest.approx(v, abs=1e-12)
    assert transported(size, radius, x[:0], to[:0], v[:0]).shape == (0, 12)


def test_unit_vectors_in_three_dimensions_as_the_spin_wave_and_the_high_temperature_series():
    """E/N = -3 J + T (1 - 1/N) + O(T^2) below; above, a bond has <s s'> = u + 4 u^3 + O(u^5) with
    u = coth(J/T) - T/J, the second from the four plaquettes that it is in."""
    T, n, u = 0.05, 125, 1.0 / math.tanh(0.25) - 4.0
    model = parameters_class("heisenberg")(L=5)
    engine = HamiltonianSteps((model.build({}),), 0.1, 0.7)
    low, high = averages(engine, (T, 4.0), 5000)["energy"]
    assert low == pytest.approx(-3.0 + T * (1.0 - 1.0 / n), abs=T**2 / 3.0)
    assert high == pytest.approx(-3.0 * (u + 4.0 * u**3), abs=2e-3)


# --- dynamics ------------------------------------------------------------------------------------


def test_free_spins_diffuse_on_the_sphere():
    """<s(0) s(t)> = exp(-2 T t/r^2) in the limit of short steps; of steps of Gaussian length along
    great circles the eigenvalue is <cos(a |g|)> = 1 - sqrt(2) a D(a/sqrt(2)), a^2 = 2 T dt/r^2."""
    number, steps, T, dt = 40_000, 16, 0.8, 0.02
    engine = HamiltonianSteps((Heisenberg(1.0, np.zeros((number, 0), dtype=np.int64)),), dt)
    replicas = engine.start(1, "free", np.zeros(8, dtype=bool), 1)
    before = replicas.configurations[0].copy()
    engine.advance(replicas, 0, T, steps, *np.empty((2, 8, 0)))
    assert engine.accepted(replicas)[0] == 1.0
    C = engine.overlap(before, replicas.configurations[0])
    a = math.sqrt(2.0 * T * dt)
    exact = (1.0 - math.sqrt(2.0) * a * dawsn(a / math.sqrt(2.0))) ** steps
    assert exact == pytest.approx(math.exp(-2.0 * T * steps * dt), rel=0.01)
    error = math.sqrt(0.5 / (8 * number))
    assert error < 0.003 * exact
    assert abs(C.mean() - exact) < 4.0 * error
    length = np.linalg.norm(replicas.configurations[0, 0, : 3 * number].reshape(-1, 3), axis=1)
    assert np.abs(length - 1.0).max() < 1e-14


def test_two_spins_oscillate_with_friction():
    """theta'' = -2 h theta - gamma theta' of a small angle between them, from rest."""
    h, friction, step, steps, angle = 1.5, 0.7, 0.02, 35, 1e-3
    engine = HamiltonianSteps((pair(h),), step, friction)
    replicas = engine.start(1, "oscillator", np.zeros(1, dtype=bool), 1)
    engine.put(replicas, 0, spins((0.4, 0.4 + angle))[None])
    engine.advance(replicas, 0, 1e-14, steps, *np.empty((2, 1, 0)))
    a, b = replicas.configurations[0, 0, :6].reshape(2, 3)
    w, t = math.sqrt(2.0 * h - friction**2 / 4.0), step * steps
    exact = angle * math.exp(-friction * t / 2.0) * (
        math.cos(w * t) + friction / (2.0 * w) * math.sin(w * t))
    found = float(np.cross(a, b)[1])  # b ahead of a
    assert abs(exact) > 0.3 * angle and found == pytest.approx(exact, abs=0.01 * angle)


def test_without_noise_two_spins_turn_to_one_another_as_their_equation_says():
    """theta' = -2 h sin theta: tan(theta/2) falls as exp(-2 h t)."""
    h, dt, steps, angle = 0.8, 1e-3, 900, 2.5
    engine = HamiltonianSteps((pair(h),), dt)
    replicas = engine.start(1, "descent", np.zeros(1, dtype=bool), 1)
    engine.put(replicas, 0, spins((0.3, 0.3 + angle))[None])
    engine.advance(replicas, 0, 0.0, steps, *np.empty((2, 1, 0)))
    a, b = replicas.configurations[0, 0, :6].reshape(2, 3)
    exact = 2.0 * math.atan(math.tan(0.5 * angle) * math.exp(-2.0 * h * dt * steps))
    assert math.acos(a @ b) == pytest.approx(exact, rel=3e-3)


def test_first_passage_of_two_spins_takes_the_exact_mean_time():
    """Backward equation of u = s s': 2 T e^(-h u/T) [(1 - u^2) e^(h u/T) tau']' = -1, up to a level
    that is passed by .5826 standard deviations of a step before it is seen."""
    h, T, dt, number = 0.5, 0.7, 0.002, 4000
    protocol = HamiltonianClones(pair(h), T, number, 0.9, 0.0, 1e4, step=dt, start=0.3)
    state = drive(protocol)
    time = protocol.result(state)["waiting_times"]["time"]
    begin = 0.5 * state.start_phi**2 - 1.0  # |s + s'|^2 = 2 + 2 u
    level = math.acos(0.5 * 1.8**2 - 1.0) - 0.5826 * math.sqrt(4.0 * T * dt)

    def slope(u):
        below = (math.exp(h * u / T) - math.exp(-h / T)) * T / h
        return math.exp(-h * u / T) * below / (2.0 * T * (1.0 - u * u))

    exact = integrate.quad(slope, begin, math.cos(level))[0]
    error = time.std() / math.sqrt(number)
    assert error < 0.02 * exact
    assert abs(time.mean() - exact) < 3.5 * error


# --- the spherical glass -------------------------------------------------------------------------


def glasses(N, number, T=None):
    """Samples of the disorder, planted at T."""
    models = [parameters_class("spherical-p-spin")(N=N, planted_temperature=T, disorder_seed=seed)
              for seed in range(number)]
    return tuple(model.build(model.disorder(None)) for model in models)


def annealed_energy(N, T):
    """-(variance/T) <sum (s_i s_j s_k)^2> of states weighted with <e^(-E/T)> over the couplings."""
    x = np.random.default_rng(1).standard_normal((100_000, N))
    x *= math.sqrt(N) / np.linalg.norm(x, axis=1, keepdims=True)
    variance, terms = 3.0 / N**2, spherical_p_spin.squared_triples(x)
    weight = np.exp(0.5 * variance / T**2 * (terms - terms.mean()))
    return -variance / T * float(weight @ terms / weight.sum())


def test_squared_triples_are_a_sum_over_all_sets():
    x = spherical_p_spin.on_sphere(np.random.default_rng(1).standard_normal((3, 9)))
    sets = np.array(list(itertools.combinations(range(9), 3)))
    assert spherical_p_spin.squared_triples(x) == pytest.approx(
        (np.prod(x[:, sets], axis=2) ** 2).sum(axis=1))
    # where weights are equal: <s_1^2 s_2^2 s_3^2> = N^2/((N + 2) (N + 4)) of the uniform measure
    uniform = -3.0 / 9**2 / 50.0 * math.comb(9, 3) * 9**2 / (11.0 * 13.0)
    assert annealed_energy(9, 50.0) == pytest.approx(uniform, rel=0.005)


def test_planted_states_have_their_weight_on_the_sphere():
    N, weight, number = 6, 0.2, 4000
    rng = np.random.default_rng(2)
    x = spherical_p_spin.on_sphere(rng.standard_normal((400_000, N)))
    terms = spherical_p_spin.squared_triples(x)
    share = np.exp(weight * (terms - terms.max()))
    exact = share @ terms / share.sum()
    drawn = spherical_p_spin.squared_triples(np.array(
        [spherical_p_spin.planted_state(N, weight, rng) for _ in range(number)]))
    error = drawn.std() / math.sqrt(number)
    assert exact > terms.mean() + 40.0 * error
    assert abs(drawn.mean() - exact) < 3.5 * error


def test_couplings_have_the_variance_of_the_theory_and_do_not_depend_on_planting():
    make = parameters_class("spherical-p-spin")
    J, N = 1.7, 40
    drawn = make(N=N, J=J).disorder(None)["couplings"]
    assert len(drawn) == math.comb(N, 3)
    assert drawn.var() == pytest.approx(3.0 * J**2 / N**2, rel=4.0 * math.sqrt(2.0 / len(drawn)))
    planted = make(N=N, J=J, planted_temperature=1.3).disorder(None)
    s = planted["planted"]
    i, j, k = np.array(list(itertools.combinations(range(N), 3))).T
    assert planted["couplings"] - drawn == pytest.approx(
        3.0 * J**2 / N**2 / 1.3 * s[i] * s[j] * s[k])
    system = make(N=N, J=J).build({"couplings": drawn, "planted": s})
    E = hamiltonian.evaluated(system, s, np.empty(N))
    assert make(N=N, J=J).build(planted).lowest < -N * J**2 / 2.6 > 4.0 * system.lowest
    assert pytest.approx(-(drawn * s[i] * s[j] * s[k]).sum(), rel=1e-10) == E
    for phi in (0.3, 1.0):
        x = system.configuration(phi, np.random.default_rng(2))
        assert hamiltonian.order_parameter(system, x) / N == pytest.approx(phi)
    with pytest.raises(ValueError, match=r"below T_K = 0\.9963"):
        make(N=N, J=J, planted_temperature=0.99)


def test_energy_of_the_liquid_is_that_of_the_annealed_average():
    """Above T_d, -N/(2 T) for large N; here with <ln Z> = ln <Z> - var Z/(2 <Z>^2), and of
    two states Z^2 has the weight exp(v/T^2 sum_{i<j<k} s_i s_i' s_j s_j' s_k s_k'), v = 3/N^2: the
    variance is half the mean square of the exponent, and E higher by some 1.5/(N T^3)."""
    N, T, samples = 32, 1.0, 32
    group = averages(HamiltonianSteps(glasses(N, samples), 0.05), (T,), 6000, 2 * samples)
    pairs = math.comb(N, 3) * (N**2 / ((N + 2.0) * (N + 4.0))) ** 2
    exact = (annealed_energy(N, T) + (3.0 / N**2) ** 2 / T**3 * pairs) / N
    error = group["energy_err"][0]
    assert error < 0.008 * abs(exact)
    assert abs(group["energy"][0] - exact) < 3.5 * error


def test_correlation_of_planted_states_is_that_of_equilibrium_dynamics():
    """C(t) from sizes N and 2 N, whose error 1/N cancels, is that of infinite N; E stays where
    equilibrium has it at finite N."""
    T, dt, every, lags = 1.0, 0.01, 20, np.array([2, 5, 10])
    C, error = [], []
    for N, samples in ((20, 300), (40, 150)):
        engine = HamiltonianSteps(glasses(N, samples, T), dt)
        replicas = engine.start(1, "planted", np.ones(samples, dtype=bool), 1)
        assert np.allclose(replicas.phi[0], N)
        x_t, E_t = [replicas.configurations[0, :, :N].copy()], [replicas.energy[0].copy()]
        for _ in range(100):
            engine.advance(replicas, 0, T, every, *np.empty((2, samples, 0)))
            x_t.append(replicas.configurations[0, :, :N].copy())
            E_t.append(replicas.energy[0].copy())
        assert engine.accepted(replicas)[0] > 0.985
        x, exact = np.array(x_t), annealed_energy(N, T)
        for E_r in (np.mean(E_t, axis=0), E_t[0]):
            assert abs(E_r.mean() - exact) < 3.5 * E_r.std() / math.sqrt(samples)
        assert np.mean(E_t, axis=0).std() / math.sqrt(samples) < 0.012 * abs(exact)
        C_lr = np.array([np.mean(np.sum(x[lag:] * x[:-lag], axis=2), axis=0) for lag in lags]) / N
        C.append(C_lr.mean(axis=1))
        error.append(C_lr.std(axis=1) / math.sqrt(samples))
    exact = theory.equilibrium_correlation(lags * every * dt, T)
    found, sigma = 2.0 * C[1] - C[0], np.hypot(2.0 * error[1], error[0])
    assert np.all(sigma < [0.003, 0.01, 0.03] * exact)
    assert np.all(np.abs(found - exact) < 3.5 * sigma)


# --- what a user may do wrong --------------------------------------------------------------------


def faulty(**wrong):
    """Heisenberg spins with some functions replaced."""
    own = type("Faulty", (Heisenberg,), {name: f for name, f in wrong.items() if name not in
                                         discrete.GENERIC})
    for name in ("energy_gradient", "order_parameter", "spheres"):
        discrete.GENERIC[name][own] = wrong.get(name, discrete.GENERIC[name][Heisenberg])
    return own(*parameters_class("heisenberg")(L=3, dimension=1).build({}))


@pytest.mark.parametrize("wrong, words", [
    ({"start": lambda self, rng: np.ones(9)},
     "start gives a vector of length 1.73205, group 0 of 3 coordinates, where spheres says 1"),
    ({"configuration": lambda self, phi, rng: np.repeat([1.0, 0.0], [1, 8])},
     "configuration gives a vector of length 0, group 1"),
    ({"spheres": lambda system: (4, 1.0)}, "spheres gives groups of 4 on spheres of radius 1 for"),
    ({"spheres": lambda system: (3, 0.0)}, "and a positive radius")])
def test_a_state_that_is_not_on_the_spheres_is_named_before_the_run(wrong, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        check_system(faulty(**wrong), "hamiltonian")


def test_spheres_take_a_degree_of_freedom_each():
    spins_3d = parameters_class("heisenberg")(L=3).build({})
    assert hamiltonian.degrees_of_freedom(spins_3d) == 54
    assert hamiltonian.degrees_of_freedom(XY(1.0, spins_3d.ahead)) == 27
