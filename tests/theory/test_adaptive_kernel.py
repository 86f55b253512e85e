"""Theories of the two-layer network: closed forms, lines, limits, self-consistency."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import optimize, special

from phasegrok.theory import adaptive_kernel as ak

# --- actions and solutions ------------------------------------------------------------------------


def test_projections_are_integrals():
    x, weight = np.polynomial.hermite_e.hermegauss(200)
    weight = weight / weight.sum()
    for Phi, s in ((0.3, 0.5), (-1.1, 0.2)):
        field = special.erf(Phi * x[:, None] + math.sqrt(s) * x[None, :]) @ weight
        found = ak.projections(Phi, s, 4)
        for m, value in enumerate(found):
            k = 2 * m + 1
            he = np.polynomial.hermite_e.hermeval(x, [0.0] * k + [1.0])
            exact = weight @ (field * he) / math.sqrt(math.factorial(k))
            assert value == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("b, c", [(0.6, -0.5), (0.05, -0.23), (0.3, 0.8), (1.0, -0.52)])
def test_closed_forms_of_the_frozen_action(b, c):
    """Against wells found on a grid of Phi, at u just below and above each closed form."""
    found = ak.frozen_transitions(b, c, 0.5)
    Phi = np.linspace(0.0, 40.0, 400_001)

    def action(u):
        return ak.frozen_action(Phi, u, b, c, 0.5)

    assert action(found.centre_spinodal * 1.001)[:200].min() < 0.0
    assert action(found.centre_spinodal * 0.999)[1] > 0.0
    outer = Phi > 0.5 * found.Phi_coexistence
    scale = np.abs(action(found.coexistence)[Phi < 2.0 * found.Phi_coexistence]).max()
    lowest = int(np.argmin(np.where(outer, action(found.coexistence), np.inf)))
    assert abs(action(found.coexistence)[lowest]) < 1e-4 * scale
    assert Phi[lowest] == pytest.approx(found.Phi_coexistence, rel=1e-3)
    near = np.abs(Phi - found.Phi_birth) < 0.1 * found.Phi_birth

    def falls(u):
        return np.any(np.diff(action(u)[near]) < 0.0)

    assert falls(found.side_birth * 1.002) and not falls(found.side_birth * 0.998)


def test_no_side_well_short_of_the_tricritical_point():
    assert math.isnan(ak.frozen_transitions(1.0, -0.499, 0.5).coexistence)
    near = ak.frozen_transitions(1.0, -0.501, 0.5)
    assert near.coexistence == pytest.approx(near.centre_spinodal, rel=1e-4)
    with pytest.raises(ValueError, match="required"):
        ak.frozen_transitions(0.0, -1.0, 0.5)


def test_joint_theory_is_self_consistent_on_drawn_weights():
    """y - f = kappa beta, with f averaged over weights drawn from a wide law and reweighted."""
    model = ak.Model(20, 60, 3e-3, -0.3, 0.2)
    found = ak.solve(model, "joint")
    rng = np.random.default_rng(4)
    width = math.sqrt(0.5 / 20)
    w = rng.standard_normal(1_000_000) * 2.5 * width
    s = 0.5 / 20 * rng.chisquare(19, len(w))
    h = ak.projections(w, s)
    beta = found.residual / model.kappa
    m = beta @ h
    weight = np.exp(0.5 * model.sigma_a2 / model.N * m * m - 0.5 * (w / width) ** 2 * (1.0 - 0.16))
    for k in range(2):
        f = model.sigma_a2 * h[k] * m
        mean = np.sum(weight * f) / weight.sum()
        error = math.sqrt(np.sum((weight * (f - mean)) ** 2)) / weight.sum()
        assert abs(model.target[k] - mean - found.residual[k]) < 4.0 * error
        assert error < 0.01 * abs(mean) or k == 1


def test_potentials_are_normalised_and_even():
    for theory in ak.THEORIES:
        found = ak.solve(ak.Model(20, 60, 1e-3, -0.3, 0.2), theory)
        step = found.Phi[1] - found.Phi[0]
        assert np.exp(-found.potential).sum() * step == pytest.approx(1.0, rel=1e-10)
        assert np.array_equal(found.potential, found.potential[::-1])
    with pytest.raises(ValueError, match="none of"):
        ak.solve(ak.Model(20, 60, 1e-3, -0.3, 0.2), "exact")


def test_many_neurons_need_no_cavity():
    """The correction is of order 1/N: with modes of the teacher alone both theories meet."""
    gaps = []
    for N in (60, 600, 6000):
        model = ak.Model(20, N, 0.18 / N, -0.3, 12.0 / N)
        joint, cavity = (ak.solve(model, theory) for theory in ("joint", "cavity"))
        gaps.append(abs(joint.b - cavity.b))
    assert gaps[1] < 0.2 * gaps[0] and gaps[2] < 0.2 * gaps[1]


def test_finite_data_act_as_noise():
    population = ak.solve(ak.Model(20, 60, 1e-3, -0.3, 0.2), "cavity")
    data = ak.solve(ak.Model(20, 60, 1e-3, -0.3, 0.2, n=1000.0), "cavity")
    assert population.kappa == 1e-3 and 1.0e-3 < data.kappa < 2e-3
    assert ak.solve(ak.Model(20, 60, 1e-3, -0.3, 0.2, n=1e9), "cavity").b == pytest.approx(
        population.b, rel=1e-4)


def test_lines_bracket_the_phases():
    model = ak.Model(20, 60, 1e-1, -0.3, 0.2)
    lines = ak.transition_lines(model, "joint")
    for kappa, phases in ((1.02 * lines.first_droplet, {"GFL"}),
                          (0.98 * lines.first_droplet, {"GMFL-I"})):
        assert ak.solve(dataclasses.replace(model, kappa=kappa), "joint").phase in phases


# --- lines of theory ------------------------------------------------------------------------------


def residual(u, strength, sigma_w2):
    """b of neurons in the centre, by iteration of 1/b = 1 + lambda_1/kappa."""
    g, b = 4.0 * sigma_w2 / (math.pi * (1.0 + 2.0 * sigma_w2)), 0.0
    for _ in range(4000):
        widening = max(1.0 - g * u * b * b, 0.1)
        b += 0.05 * (1.0 / (1.0 + g * math.sqrt(u * strength) / widening) - b)
    assert widening > 0.1
    return b


@pytest.mark.parametrize("epsilon, strength", [(-0.3, 0.6), (-1.0, 0.2), (0.6, 2.0)])
def test_limit_lines_frozen_are_the_closed_forms_at_their_field(epsilon, strength):
    found = ak.limit_lines(epsilon, strength, 0.5, "frozen")
    for name in ("coexistence", "side_birth"):
        u = getattr(found, name)
        closed = ak.frozen_transitions(residual(u, strength, 0.5), epsilon, 0.5)
        assert getattr(closed, name) == pytest.approx(u, rel=2e-3)
        assert closed.centre_spinodal > u


@pytest.mark.parametrize("epsilon, strength", [(-0.3, 0.6), (0.6, 2.0)])
def test_limit_lines_joint_against_a_minimiser(epsilon, strength):
    """Lowest action of a side well at the coexistence is that of the centre."""
    sigma_w2 = 0.5
    u = ak.limit_lines(epsilon, strength, sigma_w2).coexistence
    b = residual(u, strength, sigma_w2)

    def action(x):
        Phi, s = x[0], sigma_w2 * math.exp(x[1])
        q = Phi**2 / (1.0 + 2.0 * (s + Phi**2))
        return (Phi**2 / (2.0 * sigma_w2) + 0.5 * (math.exp(x[1]) - 1.0 - x[1])
                - (2.0 * u / math.pi) * q * (b - 2.0 * epsilon * q) ** 2)

    wells = [optimize.minimize(action, (Phi, -0.5), method="Nelder-Mead",
                               options={"xatol": 1e-8, "fatol": 1e-12, "maxiter": 4000})
             for Phi in np.linspace(0.5, 3.0, 8)]
    best = min((w for w in wells if w.x[0] > 0.2), key=lambda w: w.fun)
    scale = action((0.5 * best.x[0], 0.5 * best.x[1]))
    assert scale > 0.0 and abs(best.fun) < 0.01 * scale


def test_lines_approach_their_limit():
    """Birth of the outer well, and first droplet, at growing d and strength fixed, N = 100 d."""
    strength, gaps = 0.6, []
    limit = ak.limit_lines(-0.6, strength)
    for d in (40, 160, 320):
        N = 100 * d
        sigma_a2 = strength * d / N
        highest = math.sqrt(strength / limit.side_birth) / N * 1.6
        found = ak.transition_lines(ak.Model(d, N, highest, -0.6, sigma_a2), "joint", 0.5, 10, 1e-3)
        u = [sigma_a2 / (kappa**2 * d * N) for kappa in (found.outer_well, found.first_droplet)]
        gaps.append([u[0] / limit.side_birth - 1.0, u[1] / limit.coexistence - 1.0])
    first, second, third = np.abs(gaps)
    assert np.all(second < 0.6 * first) and np.all(third < 0.6 * second)
    assert third[0] < 0.04 and third[1] < 0.04


def test_a_wall_that_no_neuron_sees_changes_nothing():
    model = ak.Model(20, 60, 7e-3, -1.0, 1.0)
    free, far = ak.solve(model), ak.solve(model, wall=50.0)
    np.testing.assert_allclose(far.potential, free.potential, atol=1e-9)
    assert far.b == pytest.approx(free.b, abs=1e-12)
