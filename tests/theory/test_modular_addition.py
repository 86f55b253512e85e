"""Theory of the quadratic network on modular addition: another quadrature, limits, lines."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import integrate

from phasegrok.theory import modular_addition as ma
from phasegrok.theory import numbers

CARD = {"P": 5, "N": 400, "sigma_a2": 5e-5, "gamma": 0.5}


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
