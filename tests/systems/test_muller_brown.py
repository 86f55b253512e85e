"""The potential of Mueller and Brown: stationary points, equilibrium, passages."""

import itertools
import math

import numpy as np
import pytest
from driving import drive
from scipy.optimize import root

from phasegrok import cards
from phasegrok.dynamics.hamiltonian_steps import HamiltonianSteps
from phasegrok.protocols.canonical import Canonical
from phasegrok.studies.waiting_times import clones, waiting_groups
from phasegrok.systems import hamiltonian
from phasegrok.systems.muller_brown import Parameters
from phasegrok.theory import muller_brown
from phasegrok.theory.solved import exact_averages, exact_first_passage


def potential(x, y):
    """Table 1 of the paper."""
    A, a, b, c = (-200, -100, -170, 15), (-1, -1, -6.5, 0.7), (0, 0, 11, 0.6), (-10, -10, -6.5, 0.7)
    X, Y = (1, 0, -0.5, -1), (0, 0.5, 1.5, 1)
    return sum(A[k] * np.exp(a[k] * (x - X[k]) ** 2 + b[k] * (x - X[k]) * (y - Y[k])
                             + c[k] * (y - Y[k]) ** 2) for k in range(4))


@pytest.mark.parametrize("near, energy, kind", [
    ((-0.558, 1.442), -146.700, 0), ((0.623, 0.028), -108.167, 0), ((-0.050, 0.467), -80.768, 0),
    ((-0.822, 0.624), -40.665, 1), ((0.212, 0.293), -72.249, 1)])
def test_stationary_points_are_the_published_ones(near, energy, kind):
    system = Parameters(scale=2.0).build({})

    def slope(x):
        out = np.empty(2)
        hamiltonian.evaluated(system, x, out)
        return out

    x, h = root(slope, near).x, 1e-5
    assert x == pytest.approx(near, abs=6e-4)
    assert potential(*x) == pytest.approx(energy, abs=6e-4)
    assert hamiltonian.evaluated(system, x, np.empty(2)) == pytest.approx(2.0 * potential(*x))
    curvature = np.array([(slope(x + h * e) - slope(x - h * e)) / (2.0 * h) for e in np.eye(2)])
    assert (np.linalg.eigvalsh(curvature) < 0.0).sum() == kind
    if kind:
        phi = x[1] - x[0]
        assert np.min(np.abs(np.array(muller_brown.PASSES) - phi)) < 1e-6
        u = np.linspace(-3.0, 2.0, 50_001)  # on the line through it nothing is lower
        assert potential(u, u + phi).min() == pytest.approx(energy, abs=6e-4)
    assert potential(*x) > system.lowest / 2.0 > -146.70


def plane(T, nodes=800, far=6.0):
    """Averages by a Gauss-Legendre rule, in y - x and x, between the passes."""
    node, w = np.polynomial.legendre.leggauss(nodes)
    edges, parts = (-1.5 * far, *muller_brown.PASSES, 1.5 * far), []
    x, wx = far * node, far * w
    for low, high in itertools.pairwise(edges):
        phi, wphi = 0.5 * (high + low) + 0.5 * (high - low) * node, 0.5 * (high - low) * w
        E = potential(x[:, None], x[:, None] + phi)
        p = wx[:, None] * wphi * np.exp(-(E + 147.0) / T)
        parts.append([p.sum(), (p * E).sum(), (p * E**2).sum(), (p * phi).sum()])
    Z, E, square, phi = np.sum(parts, axis=0) / np.sum(parts, axis=0)[0]
    Z = np.array(parts)[:, 0] / np.sum(parts, axis=0)[0]
    return {"energy": E, "heat_capacity": (square - E**2) / T**2, "order_parameter": phi,
            "lower_well": Z[0], "middle_well": Z[1], "upper_well": Z[2]}


@pytest.mark.parametrize("T", [10.0, 25.0, 80.0])
def test_averages_are_those_of_another_rule(T):
    assert muller_brown.averages(T) == pytest.approx(plane(T), rel=2e-5, abs=2e-5)
    doubled = muller_brown.averages(2.0 * T, 2.0)
    assert doubled["energy"] == pytest.approx(2.0 * plane(T)["energy"], rel=1e-6)
    with pytest.raises(ValueError, match="does not hold"):
        muller_brown.averages(0.01)


def test_wells_are_visited_as_often_as_they_weigh():
    temperatures = (15.0, 25.0, 40.0)
    engine = HamiltonianSteps((Parameters(scale=1.0).build({}),), 1e-4)
    protocol = Canonical(engine, temperatures, 32, 32_000, 3000, True, False)
    group = protocol.result(drive(protocol))["averages"]
    exact = exact_averages("muller-brown", Parameters(scale=1.0), temperatures)
    z = []
    for name, largest in (("energy", 0.02 * np.array(temperatures)), ("heat_capacity", 0.07),
                          ("lower_well", 0.01), ("middle_well", 0.006), ("upper_well", 0.015)):
        assert np.all(group[f"{name}_err"] < largest)
        z.append((group[name] - exact[name]) / group[f"{name}_err"])
    assert np.abs(z).max() < 4.0
    assert np.sqrt(np.mean(np.square(z))) < 2.0


def test_passages_take_the_exact_mean_time():
    card = cards.load("muller-brown", {"waiting_times.clones": 5000})
    protocol = clones(card, 40.0)
    group = waiting_groups(card, protocol, drive(protocol))["waiting_times"]
    time, exact = group["time"], group.attributes["exact_tau"]
    assert exact == pytest.approx(muller_brown.first_passage(40.0, -0.595, 1.8), rel=0.02)
    error = time.std() / math.sqrt(len(time))
    assert not group["censored"].any() and error < 0.013 * exact
    assert abs(time.mean() - exact) < 3.5 * error


def test_passages_are_those_of_finer_grids_and_wider_boxes():
    found = muller_brown.first_passage(25.0, -0.595, 1.8)
    assert muller_brown.first_passage(50.0, -0.595, 1.8, 2.0) == pytest.approx(found / 2.0)
    coarse, fine = (muller_brown.on_grid(n, ((-2.9, 2.1), (-1.6, 3.2)), 25.0, 1.8, -0.595)
                    for n in (300, 500))
    assert found == pytest.approx(fine + (fine - coarse) / (25.0 / 9.0 - 1.0), rel=2e-3)


def test_what_is_not_known_is_left_out():
    card = cards.load("muller-brown")
    waiting, event = card.model.waiting_times, card.model.event
    assert not exact_first_passage("muller-brown", card.parameters, waiting, event, 1.0, 1, 1e-4)
    assert not exact_first_passage("muller-brown", card.parameters, waiting, event, 15.0, 1, None)
    assert exact_averages("muller-brown", card.parameters, [1e-3]) == {}
