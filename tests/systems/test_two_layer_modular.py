"""Quadratic network on modular addition: gradient, observables, starts, theory, all together."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import integrate

from phasegrok.compiled import kernel
from phasegrok.protocols.chains import Langevin
from phasegrok.systems import continuous
from phasegrok.systems.two_layer_modular import Parameters
from phasegrok.theory import modular_addition as ma
from phasegrok.theory import numbers

SMALL = {"P": 5, "N": 3, "sigma2": 0.7, "sigma_a2": 0.9, "gamma": 0.4}
CARD = {"P": 5, "N": 400, "sigma_a2": 5e-5, "gamma": 0.5}


@kernel
def energy_and_slope(system, xi, work, out):
    return continuous.gradient(system, xi, work, out)


@kernel
def series_of(system, xi, work, out):
    continuous.observe(system, xi, work, out)


@kernel
def units_of(system, xi, work, order):
    continuous.units(system, xi, work, order)


def built(**more):
    p = Parameters(**(SMALL | more))
    return p.build(p.disorder(None))


def latent(system):
    return 1.3 * np.random.default_rng(1).standard_normal(system.n_coordinates)


def network(p, xi):
    """a, u, v, and outputs and targets (P, P, P) over (p, n, m), by numpy."""
    a, u, v = xi.reshape(3, p.N, p.P)
    a, u, v = math.sqrt(p.sigma_a2 / p.N) * a, u / math.sqrt(p.P), v / math.sqrt(p.P)
    f = np.einsum("ip,inm->pnm", a, (u[:, :, None] + v[:, None, :]) ** 2)
    n = np.arange(p.P)
    y = p.P * (n[:, None, None] == (n[:, None] + n) % p.P) - 1.0
    return a, u, v, f, y


@pytest.mark.parametrize("train_fraction", [1.0, 0.6])
def test_energy_is_that_of_the_equation_and_gradient_its_slope(train_fraction):
    p = Parameters(**SMALL, train_fraction=train_fraction)
    system = built(train_fraction=train_fraction)
    xi = latent(system)
    _, u, v, f, y = network(p, xi)
    trained = np.zeros((5, 5), bool)
    trained[tuple(p.disorder(None)["pairs"].T)] = True
    assert trained.sum() == system.n_trained == round(25 * train_fraction)
    powers = [np.abs(np.fft.fft(w, axis=1, norm="ortho")[:, 1:]) ** 2 for w in (u, v)]
    exact = (np.sum((f - y)[:, trained] ** 2) / (2.0 * p.sigma2)
             + p.P * p.gamma / 6.0 * sum(np.sum(power**3) for power in powers))
    work, slope, rest = np.empty(system.work_size), np.empty_like(xi), np.empty_like(xi)
    assert energy_and_slope(system, xi, work, slope) == pytest.approx(exact, rel=1e-12)
    step = 1e-5
    for k in range(len(xi)):
        sides = []
        for sign in (1.0, -1.0):
            moved = xi.copy()
            moved[k] += sign * step
            sides.append(energy_and_slope(system, moved, work, rest))
        assert (sides[0] - sides[1]) / (2.0 * step) == pytest.approx(slope[k], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("train_fraction", [1.0, 0.6])
def test_observables_and_units(train_fraction):
    p = Parameters(**SMALL, train_fraction=train_fraction)
    system = built(train_fraction=train_fraction)
    xi = latent(system)
    _, u, v, f, y = network(p, xi)
    trained = np.zeros((5, 5), bool)
    trained[tuple(p.disorder(None)["pairs"].T)] = True
    tested = trained if trained.all() else ~trained
    work, found = np.empty(system.work_size), np.empty(5)
    series_of(system, xi, work, found)
    exact = [np.mean((f - y)[:, trained] ** 2), np.mean((f - y)[:, tested] ** 2),
             1.0 - np.sum(f * y) / np.sum(y * y),
             np.mean((f.argmax(axis=0) == y.argmax(axis=0))[tested]), np.mean(xi[:15] ** 2)]
    assert found == pytest.approx(exact, rel=1e-12)
    order = np.empty((system.n_units, 2))
    units_of(system, xi, work, order)
    for k, w in enumerate((u, v)):
        power = np.abs(np.fft.fft(w, axis=1, norm="ortho")[:, 1:3]) ** 2
        assert order[:, k] == pytest.approx(power.ravel(), rel=1e-12)


def test_aligned_start_has_its_power_and_solves_the_task():
    system = built(P=7, N=4000, sigma_a2=1.0)
    xi = system.aligned(2.4, np.random.default_rng(3))
    work, series = np.empty(system.work_size), np.empty(5)
    order = np.empty((system.n_units, 2))
    units_of(system, xi, work, order)
    power = order.reshape(4000, 3, 2)
    strong = power.max(axis=1)
    rest = power.sum(axis=1) - strong
    assert strong.mean() == pytest.approx(2.4 + 1.0 / 7.0, rel=0.01)  # the prior adds 1/P
    assert rest.mean() == pytest.approx(2.0 / 7.0, rel=0.03)
    assert np.mean(power[:, :, 0].argmax(axis=1) == power[:, :, 1].argmax(axis=1)) > 0.99
    series_of(system, xi, work, series)
    assert series[3] == 1.0
    random = np.empty(5)
    series_of(system, np.random.default_rng(3).standard_normal(len(xi)), work, random)
    assert series[2] < random[2] and abs(random[2] - 1.0) < 0.1


def test_even_modulus_and_wrong_pairs_are_refused():
    with pytest.raises(ValueError, match="is even"):
        Parameters(**(SMALL | {"P": 6})).disorder(None)
    with pytest.raises(ValueError, match="digits below P = 5"):
        Parameters(**SMALL).disorder(np.array([[0.0, 5.0]]))


# --- theory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma2", [0.0034, 0.0018, 0.0010])
def test_residual_by_another_quadrature(sigma2):
    """1 - a = (4 sigma_a^2/sigma^2) a <Phi Psi>, over complex amplitudes drawn from the prior."""
    model = ma.Model(sigma2=sigma2, **CARD)
    found = ma.solve(model)
    P, a = model.P, found.residual

    def weight(y, x, power):
        action = (0.5 * (x + y) - model.drive * a * a * x * y + model.gamma / 6.0 * (x**3 + y**3))
        return (x * y) ** power * math.exp(-2.0 * P * action)

    norm, product = (integrate.dblquad(weight, 0.0, 6.0, 0.0, 6.0, args=(power,),
                                       epsabs=1e-9, epsrel=1e-7)[0] for power in (0, 1))
    right = 4.0 * model.sigma_a2 / sigma2 * a * product / norm
    assert right == pytest.approx(1.0 - a, rel=1e-4)
    marginal = integrate.quad(lambda y: weight(y, found.Phi[200], 0), 0.0, 6.0)[0] / norm
    assert found.potential[200] == pytest.approx(-math.log(marginal), abs=1e-4)


def test_prior_of_a_unit_is_exponential():
    """As sigma^2 grows and gamma falls Phi has the density P exp(-P Phi)."""
    found = ma.solve(ma.Model(7, 100, 1e6, 1e-6, 1e-9))
    assert found.residual == pytest.approx(1.0) and found.phase == "GFL"
    near = found.Phi < 2.0
    assert found.potential[near] == pytest.approx(7.0 * found.Phi[near] - math.log(7.0), abs=1e-3)


def test_closed_forms_are_the_limit_of_large_P():
    """Residual, fraction of specialised units, well and barrier over P, linear in 1/P.

    The fraction is (sigma_I^2 - sigma^2) gamma/12 sigma_a^2: it shows the factor 12.
    """
    gamma, sigma_a2 = 0.5, 1e-3
    rows, sizes = [], (41, 81)
    for P in sizes:
        limit = ma.closed_forms(P, P * P, sigma_a2, gamma)
        found = ma.solve(ma.Model(P, P * P, 0.7 * limit.sigma2_I, sigma_a2, gamma))
        rows.append([found.residual, found.droplet, found.wells[-1], found.barrier / P])
    fraction = 0.3 * limit.sigma2_I / (limit.sigma2_I - limit.sigma2_II)
    exact = [0.7, fraction, limit.well, limit.barrier / P]
    a, b = np.array(rows)
    assert np.all(np.abs(b - exact) < np.abs(a - exact))
    assert (sizes[1] * b - sizes[0] * a) / (sizes[1] - sizes[0]) == pytest.approx(exact, rel=0.03)
    assert math.isnan(ma.closed_forms(5, 400, 1.0, gamma).sigma2_II)


def test_lines_bracket_the_phases():
    model = ma.Model(sigma2=0.006, **CARD)
    lines = ma.transition_lines(model)
    for value, phases in ((1.02 * lines.first_droplet, "GFL"),
                          (0.98 * lines.first_droplet, "GMFL-I")):
        assert ma.solve(dataclasses.replace(model, sigma2=value)).phase == phases
    assert lines.outer_well >= lines.first_droplet > lines.last_centre
    rows = {name: value for name, value, _ in numbers.numbers("two-layer-modular")}
    assert rows["barrier from the centre"] == ma.solve(ma.Model(sigma2=0.002, **CARD)).barrier
    with pytest.raises(ArithmeticError, match="too narrow"):
        ma.solve(ma.Model(401, 1000, 0.02, 2e-6, 1e-4))


# --- all together ---------------------------------------------------------------------------------


def against_theory(sigma2, N, steps, seed=1):
    from phasegrok.studies.chains import _modular, add_theories

    p = Parameters(P=5, N=N, sigma2=sigma2, sigma_a2=0.02 / N, gamma=0.5)
    protocol = Langevin(p.build(p.disorder(None)), "ghmc", 0.1, 1.0, 4, steps, steps // 5, 4, 2.4,
                        5.0)
    state = protocol.init(seed)
    protocol.advance(state, steps)
    groups = protocol.result(state)
    add_theories(groups["effective_potential"], _modular(p, None))
    return groups


def test_langevin_without_specialised_units_agrees_with_theory():
    """Theory leaves out terms of relative order P^2/N = 6 % of what acts on a unit."""
    groups = against_theory(0.0034, 400, 3000)
    chains, found = groups["chains"], groups["effective_potential"]
    assert chains.attributes["configurational_temperature"] == pytest.approx(1.0, abs=5e-3)
    assert found.attributes["phase"] == found.attributes["phase_mean-field"] == "GFL"
    assert "agree" in found.attributes["convergence"]
    learned, error = 1.0 - found["residual"][0], float(chains["residual_err"])
    assert error < 0.01 * learned
    assert abs(1.0 - float(chains["residual"]) - learned) < 4.0 * error
    assert found["distance_rms"][0] < 0.06 and found["distance_largest"][0] < 0.2


@pytest.mark.slow
def test_langevin_with_two_wells_approaches_theory_with_more_neurons():
    """The correction P^2/N falls where N, 1/sigma^2 and 1/sigma_a^2 grow together."""
    gaps = []
    for N in (100, 400):
        groups = against_theory(0.8 / N, N, 20_000)
        chains, found = groups["chains"], groups["effective_potential"]
        assert found.attributes["phase"] == found.attributes["phase_mean-field"] == "GMFL-I"
        gaps.append(abs(float(chains["residual"]) - found["residual"][0]))
    assert gaps[1] < 0.02 and gaps[1] < 0.6 * gaps[0]
