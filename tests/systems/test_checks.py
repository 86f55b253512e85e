"""A behaviour of a system that is wrong is found while it runs, named, and gives no result."""

import numpy as np
import pytest

from phasegrok.cards.kinds import parameters_class
from phasegrok.dynamics.replicas import SingleFlip
from phasegrok.errors import InputError
from phasegrok.protocols.canonical import Canonical
from phasegrok.protocols.clones import DiscreteClones
from phasegrok.protocols.quench import Quench
from phasegrok.protocols.wang_landau import WangLandau
from phasegrok.systems import discrete
from phasegrok.systems.checks import check_running, fault_of
from phasegrok.systems.ising import Ising
from phasegrok.systems.lattice_gas import LatticeGas
from phasegrok.systems.potts import Potts2D


def build(kind, **parameters):
    """System of a kind without a data file."""
    model = parameters_class(kind)(**parameters)
    return model.build(model.disorder(None))


def twin(monkeypatch, system, **wrong):
    """The system under another class with some behaviours replaced."""
    base = type(system)
    other = type("Faulty", (base,), {})
    for name, table in discrete.GENERIC.items():
        found = wrong.get(name, table.get(base))
        if found is not None:
            monkeypatch.setitem(table, other, found)
    return other(*system)


ising = {name: discrete.GENERIC[name][Ising] for name in ("energy_change", "assign", "prepare",
                                                          "order_change")}
gas = {name: discrete.GENERIC[name][LatticeGas] for name in ("assign",)}
potts = {name: discrete.GENERIC[name][Potts2D] for name in ("assign",)}


def doubled(system, sigma, cache, site, value):
    """Twice the change of energy."""
    return 2.0 * ising["energy_change"](system, sigma, cache, site, value)


def writes(system, sigma, cache, site, value):
    """Asked for a change, makes it."""
    change = ising["energy_change"](system, sigma, cache, site, value)
    sigma[site] = value
    return change


def opposite(system, sigma, cache, site, value):
    """Change of M with the wrong sign."""
    return -ising["order_change"](system, sigma, cache, site, value)


def flips(system, sigma, cache, site, value):
    """Flips whatever is assigned."""
    sigma[site] = -sigma[site]


def elsewhere(system, sigma, cache, site, value):
    """Assigns, and flips the next site if the value is another."""
    if value != sigma[site]:
        sigma[(site + 1) % len(sigma)] *= -1
    sigma[site] = value


def forgets(system, sigma, cache, site, value):
    """Does not count the colours."""
    sigma[site] = value


def adds_up(system, sigma, cache):
    """Counts on from what was in the cache."""
    energy, phi = ising["prepare"](system, sigma, cache)
    cache[0] += 1
    return energy + cache[0], phi


def creates(system, sigma, cache, place, value):
    """Puts a particle where there is none."""
    sigma[place // 2] = value


def moves_on(system, sigma, cache, place, value):
    """Exchanges, and leaves the waves as they were."""
    before = cache.copy()
    gas["assign"](system, sigma, cache, place, value)
    cache[:] = before


def outside(system, sigma, cache, place, value):
    """Leaves two particles at one site."""
    gas["assign"](system, sigma, cache, place, value)
    sigma[place // 2] *= 1 + value


def exchanges(system, sigma, place):
    """Says that an exchange changes nothing."""
    return 1


@pytest.mark.parametrize("kind, name, wrong, words", [
    ("ising-2d", "energy_change", doubled, "energy_change gives"),
    ("ising-2d", "energy_change", writes, "energy_change or order_change makes the change"),
    ("ising-2d", "order_change", opposite, "order_change gives"),
    ("ising-2d", "assign", flips, "assign leaves other states"),
    ("ising-2d", "assign", elsewhere, "assign leaves other states"),
    ("potts-2d", "assign", forgets, "assign leaves another cache"),
    ("ising-2d", "prepare", adds_up, "prepare depends on what was in the cache"),
    ("lattice-gas-2d", "energy_change", lambda *_: 1.0, "a move that changes something"),
    ("lattice-gas-2d", "present", exchanges, "present gives 1 at place"),
    ("lattice-gas-2d", "assign", creates, "place"),
    ("lattice-gas-2d", "assign", moves_on, "assign leaves another cache"),
    ("lattice-gas-2d", "assign", outside, "assign leaves a state that is none of [0, 1]"),
])
def test_the_function_at_fault_is_named(monkeypatch, kind, name, wrong, words):
    system = build(kind, L=4, **({"q": 3} if kind == "potts-2d" else {}))
    faulty = twin(monkeypatch, system, **{name: wrong})
    ordered = system.configuration(1.0, np.random.default_rng(0))
    for sigma in (None, ordered):
        assert fault_of(system, sigma) == ""
        assert words in fault_of(faulty, sigma)


@pytest.mark.parametrize("kind, parameters", [
    ("ising-chain", {"N": 5, "h": 0.1}), ("ising-2d", {"L": 4, "J2": 0.3, "h": 1e-3}),
    ("edwards-anderson", {"L": 3, "dimension": 3, "couplings": "gaussian"}),
    ("blume-capel-2d", {"L": 4, "D": 1.9}), ("potts-2d", {"L": 4, "q": 5}),
    ("potts-mean-field", {"N": 12, "q": 3}), ("curie-weiss", {"N": 20, "h": 0.1, "J3": 1.0}),
    ("sherrington-kirkpatrick", {"N": 12, "h": 0.2}), ("p-spin", {"N": 10}), ("east", {"N": 16}),
    ("lattice-gas-2d", {"L": 8, "density": 0.3}), ("lattice-gas-2d", {"L": 4, "exchange": "any"}),
    ("ising-perceptron", {"N": 15, "P": 10})])
def test_all_systems_of_the_package_pass(kind, parameters):
    assert fault_of(build(kind, **parameters)) == ""


def test_what_walkers_add_up_is_compared_with_their_configurations():
    """Of every replica; what rounding explains is no fault."""
    system = build("potts-2d", L=4, q=3)
    rng = np.random.default_rng(1)
    sigma = rng.integers(0, 3, (5, 16)).astype(np.int8)
    cache, values = np.zeros((5, 3), np.int64), np.zeros((5, 2))
    for r in range(5):
        values[r] = discrete.prepare(system, sigma[r], cache[r])
    check_running(system, sigma, cache, values, 1e6)
    check_running(system, sigma, cache[:, :0], values[:, :1], 1e6)
    check_running(system, sigma, cache, values * (1.0 + 1e-14), 1e6)
    for array, words in ((values[:, 0], "running E"), (values[:, 1], "running Phi"),
                         (cache[:, 2], "running cache")):
        array[3] += 1
        with pytest.raises(InputError, match=words):
            check_running(system, sigma, cache, values, 1e6)
        array[3] -= 1


def ran(protocol):
    """State at the end, with a result that was accepted."""
    state = protocol.init(1)
    while protocol.done(state) < protocol.total():
        protocol.advance(state, 10**9)
    assert protocol.result(state)
    return state


@pytest.mark.parametrize("protocol, field, at", [
    (WangLandau(build("ising-2d", L=4), 2000, 2, True), "values", (1, 0, 0)),
    (WangLandau(build("ising-2d", L=4), 2000, 2), "values", (1, 0, 0)),
    (Canonical(SingleFlip((build("ising-2d", L=4),), "metropolis"), (2.0, 3.0), 4, 200, 50),
     "energy", (1, 2)),
    (Quench(SingleFlip((build("ising-2d", L=4),), "metropolis"), 1.0, 4, 16), "phi", (0, 3)),
    (DiscreteClones(build("ising-2d", L=4), 1.5, 3, 0.9, 0.0, 50.0), "values", (2, 0)),
])
def test_no_result_where_the_sums_went_wrong(protocol, field, at):
    state = ran(protocol)
    array = getattr(state, field)
    array[at] += 1 if array.dtype == np.int64 else 4.0
    with pytest.raises(InputError, match="no result is given"):
        protocol.result(state)
