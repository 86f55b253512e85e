"""The overlap of two states, of spins, colours and of a system that says it itself."""

import math

import numpy as np
import pytest

from phasegrok.cards.kinds import parameters_class
from phasegrok.systems.overlaps import all_overlaps, overlap, overlap_values


class Clock:
    """As much of a clock model as an overlap needs."""

    n_sites, q = 50, 6

    def vectors(self, x_rn):
        angle = 2.0 * math.pi * np.asarray(x_rn) / self.q
        return np.concatenate([np.cos(angle), np.sin(angle)], axis=1)


def built(kind, **parameters):
    model = parameters_class(kind)(**parameters)
    return model.build(model.disorder(None))


SYSTEMS = {
    "spins": (built("ising-2d", L=7), [-1, 1], lambda a, b: np.mean(a * b)),
    "colours": (built("potts-2d", L=7, q=3), [0, 1, 2],
                lambda a, b: np.mean(np.where(a == b, 1.0, -0.5))),
    "three values": (built("blume-capel-2d", L=7, D=0.5), [-1, 0, 1], lambda a, b: np.mean(a * b)),
    "clock": (Clock(), range(6), lambda a, b: np.mean(np.cos(2.0 * math.pi * (a - b) / 6.0))),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_overlap_is_the_mean_over_sites_that_it_is_said_to_be(name):
    system, states, product = SYSTEMS[name]
    a, b = np.random.default_rng(1).choice(
        np.array(states, dtype=np.int8), (2, 9, system.n_sites))
    expected = np.array([[product(x.astype(int), y.astype(int)) for y in b] for x in a])
    assert all_overlaps(system, a, b) == pytest.approx(expected, abs=1e-12)
    assert overlap(system, a, b) == pytest.approx(np.diagonal(expected), abs=1e-12)
    assert overlap(system, a, a).max() <= 1.0 + 1e-12
    lowest, step, number = overlap_values(system)
    assert lowest + step * (number - 1) == pytest.approx(1.0)
    if name != "clock":  # each is one of the values listed
        place = (expected - lowest) / step
        assert place == pytest.approx(np.rint(place), abs=1e-9)
