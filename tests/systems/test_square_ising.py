"""The fast form of the square lattice against the general one."""

import numpy as np
import pytest

from phasegrok.cards.kinds import parameters_class
from phasegrok.systems.discrete import energy_cell, energy_change, order_cell, order_change, prepare
from phasegrok.systems.square_ising import FourNeighbours


def build(kind, rows=None, **parameters):
    """System of a kind."""
    model = parameters_class(kind)(**parameters)
    return model.build(model.disorder(rows))


@pytest.mark.parametrize("J, h", [(1.0, 0.0), (-1.0, 0.5), (0.7, 0.2)])
def test_square_lattice_counted_in_cells(J, h):
    """The fast form of the square lattice: same cells, same changes, for every spin."""
    system = build("ising-2d", L=6, J=J, h=h)
    twin = FourNeighbours.of(system)
    cache = np.zeros(1, np.int64)
    rng = np.random.default_rng(1)
    for _ in range(20):
        sigma = rng.choice(np.array([-1, 1], np.int8), 36)
        energy, phi = prepare(system, sigma, cache)
        e, p = prepare(twin, sigma, cache)
        assert (e, p) == (energy_cell(system, energy), order_cell(system, phi))
        for site in range(36):
            value = -int(sigma[site])
            after = energy + energy_change(system, sigma, cache, site, value)
            assert energy_cell(system, after) == e + energy_change(twin, sigma, cache, site, value)
            assert order_change(twin, sigma, cache, site, value) == (value - sigma[site]) // 2


def test_square_lattice_is_told_from_others():
    """Different couplings, or other lattices, keep the general form."""
    assert FourNeighbours.of(build("ising-3d", L=4)) is None
    assert FourNeighbours.of(build("potts-2d", q=3, L=4)) is None
