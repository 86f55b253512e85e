"""Two-layer network with a cubic teacher: gradient, observables, elementary functions."""

import math

import numpy as np
import pytest
from scipy import special

from phasegrok.compiled import kernel
from phasegrok.systems import continuous
from phasegrok.systems.two_layer import Parameters

SMALL = {"d": 7, "N": 5, "n": 50, "sigma2": 0.5, "sigma_a2": 0.9, "epsilon": -0.3}


@kernel
def energy_and_slope(system, xi, work, out):
    return continuous.gradient(system, xi, work, out)


@kernel
def series_of(system, xi, work, out):
    continuous.observe(system, xi, work, out)


def built(**more):
    p = Parameters(**(SMALL | more))
    return p.build(p.disorder(None))


def random_latent(system, scale=1.5):
    return scale * np.random.default_rng(1).standard_normal(system.n_coordinates)


@pytest.mark.parametrize("inputs", ["population", "drawn"])
def test_gradient_is_the_slope_of_the_energy(inputs):
    system = built(inputs=inputs)
    xi = random_latent(system)
    work, slope, rest = np.empty(system.work_size), np.empty_like(xi), np.empty_like(xi)
    energy_and_slope(system, xi, work, slope)
    step = 1e-5
    for k in range(len(xi)):
        sides = []
        for sign in (1.0, -1.0):
            moved = xi.copy()
            moved[k] += sign * step
            sides.append(energy_and_slope(system, moved, work, rest))
        assert (sides[0] - sides[1]) / (2.0 * step) == pytest.approx(slope[k], abs=1e-7)


@pytest.mark.parametrize("inputs", ["population", "drawn"])
def test_observables_are_means_over_inputs(inputs):
    system = built(inputs=inputs)
    xi = random_latent(system)
    a, w = system.width_a * xi[:5], system.width_w * xi[5:].reshape(5, 7)
    found = np.empty(5)
    series_of(system, xi, np.empty(system.work_size), found)
    x = np.random.default_rng(2).standard_normal((400_000, 7))
    z = x[:, 0]
    error = z - 0.3 * (z**3 - 3.0 * z) - special.erf(x @ w.T) @ a
    for k, values in ((1, error**2), (2, error * z), (3, error * (z**3 - 3.0 * z) / 6.0)):
        assert abs(found[k] - values.mean()) < 4.0 * values.std() / math.sqrt(len(z))
    assert found[4] == pytest.approx(np.mean(xi[:5] ** 2))
    if inputs == "drawn":
        z = system.x[:, 0]
        direct = z - 0.3 * (z**3 - 3.0 * z) - special.erf(system.x @ w.T) @ a
        assert found[0] == pytest.approx(np.mean(direct**2), rel=1e-12)


def test_elementary_functions():
    from phasegrok.systems.elementary import CHUNK, arcsines, error_functions

    room, x = np.empty((2, CHUNK)), np.linspace(-1.0, 1.0, 4001)
    found = x.copy()
    arcsines(found, room)
    assert np.abs(found - np.arcsin(x)).max() < 1e-14
    u = np.concatenate([np.linspace(-40.0, 40.0, 8001), [0.0, 1e-9]])
    found, slope = u.copy(), np.empty_like(u)
    error_functions(found, slope, room, np.empty(CHUNK, np.int64))
    assert np.abs(found - special.erf(u)).max() < 3e-14
    assert np.abs(slope - 2.0 / math.sqrt(math.pi) * np.exp(-u * u)).max() < 3e-15


def test_patterns_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="n = 50 and d = 7"):
        Parameters(**SMALL, inputs="drawn").disorder(np.zeros((3, 7)))
