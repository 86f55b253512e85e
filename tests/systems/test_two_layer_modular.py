"""Quadratic network on modular addition: gradient, observables, starts."""

import math

import numpy as np
import pytest

from phasegrok.compiled import kernel
from phasegrok.systems import continuous
from phasegrok.systems.two_layer_modular import Parameters

SMALL = {"P": 5, "N": 3, "sigma2": 0.7, "sigma_a2": 0.9, "gamma": 0.4}


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
