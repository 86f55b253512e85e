"""Langevin chains: blocks, steps that are too long, laws below a wall."""

import dataclasses
import math

import numpy as np
import pytest
from driving import drive
from scipy import stats

from phasegrok.dynamics.langevin import INTEGRATORS
from phasegrok.protocols.chains import Langevin
from phasegrok.systems.testsystems import Gaussian
from phasegrok.systems.two_layer import Parameters

SMALL = {"d": 7, "N": 5, "n": 50, "sigma2": 0.5, "sigma_a2": 0.9, "epsilon": -0.3}


def built(**more):
    p = Parameters(**(SMALL | more))
    return p.build(p.disorder(None))


@pytest.mark.parametrize("integrator", INTEGRATORS)
def test_blocks_do_not_change_a_bit(integrator):
    protocol = Langevin(built(), integrator, 0.01, 1.0, 3, 400, 100, 2, 0.9, 2.5)
    whole, parts = protocol.init(5), protocol.init(5)
    protocol.advance(whole, 400)
    for n in (1, 130, 269):
        protocol.advance(parts, n)
    for field in dataclasses.fields(whole):
        np.testing.assert_array_equal(getattr(whole, field.name), getattr(parts, field.name))


def test_the_temperature_of_a_step_too_long():
    """Euler-Maruyama in the prior alone: <xi^2> = 1/(1 - h/2), 1.25 at h = 0.4."""
    from phasegrok.systems.testsystems import Gaussian

    protocol = Langevin(Gaussian(np.zeros(20)), "euler-maruyama", 0.4, 1.0, 8, 4000, 100, 1, None,
                        6.0)
    state = protocol.init(2)
    protocol.advance(state, 4000)
    groups = protocol.result(state)
    assert groups["chains"].attributes["configurational_temperature_err"] < 0.01
    said = groups["effective_potential"].attributes["convergence"]
    assert "temperature 1.25" in said or "temperature 1.24" in said or "temperature 1.26" in said


def test_a_step_too_long_is_said():
    protocol = Langevin(built(), "euler-maruyama", 2.5, 1.0, 2, 4000, 0, 1, 0.9, 2.5)
    state = protocol.init(1)
    protocol.advance(state, 4000)
    assert np.all(state.broken > 0) and protocol.done(state) == protocol.total()
    assert protocol.result(state) == {}


def free(n):
    return Gaussian(np.zeros(n))


def test_chains_below_a_wall_have_the_truncated_law():
    protocol = Langevin(Gaussian(np.ones(1)), "ghmc", 0.7, 1.0, 4, 60_000, 100, 1, None, 2.5, 1.2)
    groups = protocol.result(drive(protocol))
    edge = 1.2 * math.sqrt(2.0)
    exact = 0.25 * stats.truncnorm(-edge, edge).var()  # energy xi^2/2 of variance 1/2
    chains = groups["chains"]
    assert float(chains["energy_err"]) < 0.01 * exact
    assert abs(float(chains["energy"]) - exact) < 3.5 * float(chains["energy_err"])
    assert chains.attributes["wall"] == 1.2
    outside = groups["effective_potential"]["order_parameter"] > 1.2
    assert np.isnan(groups["effective_potential"]["potential"][outside]).all()


def test_a_wall_inside_the_prior_is_refused():
    with pytest.raises(ValueError, match="take a wall farther out"):
        Langevin(free(50), "ghmc", 0.3, 1.0, 1, 10, 0, 1, None, 2.5, 0.01).init(1)
