"""First passages of continuous systems against known laws."""

import math

import numpy as np
from driving import drive
from scipy import stats

from phasegrok.protocols.escape import Escape
from phasegrok.systems.testsystems import Gaussian


def free(n):
    return Gaussian(np.zeros(n))


QUARTER = 0.5 * math.pi  # a rotation by which turns a fresh velocity into the next latent


def test_waiting_times_are_geometric_where_every_step_is_a_new_draw():
    protocol = Escape(free(3), QUARTER, 100.0, 1.0, 2.2, 4000, 2000, 10)
    state = drive(protocol)
    assert state.crossed.all()
    p = 1.0 - (1.0 - 2.0 * stats.norm.sf(2.2)) ** 3
    z = (state.steps.mean() - 1.0 / p) / (math.sqrt(1.0 - p) / p / math.sqrt(4000))
    assert abs(z) < 3.5  # an error of 3 % is 1.9 sigma of this number, and the next test has more
    share = np.mean(state.steps > 20)
    expected = (1.0 - p) ** 20
    assert abs(share - expected) < 3.5 * math.sqrt(expected * (1.0 - expected) / 4000)


def test_mean_waiting_time_to_one_percent():
    state = drive(Escape(free(1), QUARTER, 100.0, 0.5, 1.0, 30_000, 200, 3))
    p = 2.0 * stats.norm.sf(1.0)
    assert abs(state.steps.mean() - 1.0 / p) < 3.5 * math.sqrt(1.0 - p) / p / math.sqrt(30_000)


def test_waits_do_not_depend_on_how_work_is_cut():
    protocol = Escape(free(2), 0.3, 1.0, 1.5, 2.5, 20, 5000, 50)
    whole, cut = drive(protocol), drive(protocol, block=7)
    np.testing.assert_array_equal(whole.steps, cut.steps)
    np.testing.assert_array_equal(whole.xi, cut.xi)


def test_clones_are_censored_at_the_limit():
    protocol = Escape(free(1), 0.3, 1.0, 1.0, 9.0, 4, 100, 5)
    group = protocol.result(drive(protocol))["waiting_times"]
    assert group["censored"].all()
    np.testing.assert_allclose(group["time"], 30.0)
