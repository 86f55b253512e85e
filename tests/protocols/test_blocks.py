"""A run does not depend on how it is cut into calls: the clock decides that, and no bit may.

Every protocol of the package, on small systems, in calls of 1, 7 and 1000 units.
"""

import dataclasses

import numpy as np
import pytest

from phasegrok import cards, compiled
from phasegrok.networks.training import stack_torch as torch_trainer
from phasegrok.protocols.escape import Escape
from phasegrok.protocols.version_space import VersionSpace
from phasegrok.studies.chains import langevin
from phasegrok.studies.density_of_states import density_of_states
from phasegrok.studies.finite_size import finite_size_settings
from phasegrok.studies.learning_curve import landscapes
from phasegrok.studies.phase_diagram import phase_diagram_series
from phasegrok.studies.relaxation import relaxation
from phasegrok.studies.sampling import sampling, series_protocol
from phasegrok.studies.training import training
from phasegrok.studies.waiting_times import clones

BLOCKS = (1, 7, 1000)
SHORT = {"sample.sweeps": 135, "sample.equilibration": 45, "sample.replicas": 24,
         "sample.temperatures": "1.5, 2.2, 3.0, 4.0"}
EXCHANGED = SHORT | {"sample.exchange": True}
TRAINED = {"training.steps": 45, "training.replicas": 2, "training.eval_every": 4,
           "parameters.p": 7}


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    """Starting threads would take longer than these systems."""
    monkeypatch.setattr(compiled, "n_threads", lambda: 1)
    with torch_trainer.one_thread():
        yield


def sampled(card, samples=1, **changes):
    return sampling(cards.load(card, SHORT | changes), samples=samples)


def exchanged(card, **changes):
    return sampling(cards.load(card, EXCHANGED | changes))


def relaxed(card, ramp=False, **changes):
    quick = {"relaxation.temperature": 0.9, "relaxation.sweeps": 90, "relaxation.ramp_sweeps": 21,
             "relaxation.replicas": 6, "relaxation.ramp": "0.5:3.5:3"}
    return relaxation(cards.load(card, quick | changes), ramp)


def cloned(card, number=6, **changes):
    return clones(cards.load(card, changes), None, number)


def trained(card="mlp-subtraction-31", **changes):
    return training(cards.load(card, TRAINED | {"parameters.hidden": [12]} | changes))


def chained(card, integrator, **changes):
    short = {"langevin.integrator": integrator, "langevin.chains": 3, "langevin.steps": 460,
             "langevin.equilibration": 50, "langevin.every": 1}
    return langevin(cards.load(card, short | changes))


def perceptrons(sweeps=45):
    card = cards.load("spherical-perceptron", {"parameters.N": 8, "parameters.P": 12})
    return VersionSpace(tuple(card.build(arrays) for arrays in card.samples(3)), sweeps)


def escaping():
    card = cards.load("two-layer-cubic-nucleation", {"parameters.d": 6, "parameters.N": 5})
    return Escape(card.build(), 0.3, 1.0, 1.5, 1.6, 4, 60, 20)


def series_of(key):
    """Canonical sampling with series, as points of scans make it."""
    if key == "phase_diagram":
        card = cards.load("potts-2d", {
            "parameters.L": 3, "phase_diagram.temperatures": "0.5:1.5:4", "phase_diagram.sizes":
            [3, 4], "phase_diagram.sweeps": 135, "phase_diagram.equilibration": 40,
            "phase_diagram.replicas": 9})
        return phase_diagram_series(card)
    card = cards.load("ising-2d", {
        "parameters.L": 3, "finite_size.sizes": [3, 4, 6], "finite_size.temperatures": "1.5:3:3"})
    s = finite_size_settings(card)
    return series_protocol(card, s, 135, 40, exchange=False)


GAUSSIAN = {"parameters.L": 3}
PROTOCOLS = {
    # an order parameter of sevenths and thirds: sums of many replicas show the order of adding
    "sample, one site": lambda: sampled("glauber-chain", **{
        "parameters.N": 7, "sample.replicas": 200, "sample.dynamics": "heat-bath"}),
    "sample, words": lambda: sampled("ising-2d", **{"parameters.L": 6, "sample.replicas": 136}),
    "sample, words, checkerboard, exchange": lambda: exchanged("ising-2d", **{
        "parameters.L": 6, "sample.order": "checkerboard"}),
    "sample, real couplings, exchange": lambda: exchanged("edwards-anderson-3d-gaussian",
                                                          **GAUSSIAN),
    "sample, samples of disorder": lambda: sampled("edwards-anderson-3d", 3, **{"parameters.L": 3}),
    "sample, all to all": lambda: sampled("p-spin", **{"parameters.N": 9}),
    "sample, colours": lambda: exchanged("potts-2d", **{"parameters.L": 3}),
    "sample, vacancies": lambda: sampled("blume-capel-2d", **{"parameters.L": 3}),
    "sample, east": lambda: sampled("east", **{"parameters.N": 9}),
    "sample, wolff": lambda: sampled("ising-2d", **{"parameters.L": 3, "sample.dynamics": "wolff"}),
    "sample, swendsen-wang": lambda: sampled("potts-2d", **{
        "parameters.L": 3, "sample.dynamics": "swendsen-wang"}),
    "series, finite size": lambda: series_of("finite_size"),
    "series, phase diagram": lambda: series_of("phase_diagram"),
    "quench, one site": lambda: relaxed("edwards-anderson-3d-gaussian", **GAUSSIAN),
    "quench, words": lambda: relaxed("ising-2d-quench", **{
        "parameters.L": 6, "relaxation.replicas": 512}),
    "ramp, one site": lambda: relaxed("edwards-anderson-3d-gaussian", True, **GAUSSIAN),
    "ramp, words": lambda: relaxed("ising-2d-quench", True, **{
        "parameters.L": 5, "relaxation.replicas": 512}),
    "clones": lambda: cloned("ising-2d-reversal", **{"parameters.L": 5,
                                                     "waiting_times.limit": 200}),
    "clones of coordinates": lambda: cloned("phi4-double-well", **{
        "waiting_times.limit": 10.0, "waiting_times.preparation_sweeps": 30,
        "motion.friction": 0.5}),
    "density of states, coordinates": lambda: density_of_states(cards.load("phi4-chain", {
        "parameters.L": 4, "sample.equilibration": 40}), 200),
    "quench, coordinates": lambda: relaxed("xy-2d", **{
        "parameters.L": 4, "relaxation.replicas": 4}),
    "clones, lattice gas": lambda: cloned("lattice-gas-2d-nucleation", **{
        "parameters.L": 8, "parameters.density": 0.2, "waiting_times.limit": 100}),
    "clones, overdamped": lambda: cloned("control-saddle", **{"parameters.dt": 0.01}),
    "density of states": lambda: density_of_states(
        cards.load("ising-2d", {"parameters.L": 4}), 300, 2, "wang-landau"),
    "density of states, ladder": lambda: density_of_states(
        cards.load("ising-2d", {"parameters.L": 4}), 3000, 2, "ladder"),
    "density of states, joint": lambda: density_of_states(
        cards.load("potts-2d", {"parameters.L": 3}), 300, 2, joint=True),
    "density of states, windows": lambda: density_of_states(
        cards.load("ising-2d", {"parameters.L": 6, "density_of_states.windows": 3}), 300, 2,
        "wang-landau"),
    "chains, euler": lambda: chained("ridge", "euler-maruyama"),
    "chains, leimkuhler": lambda: chained("two-layer-cubic", "leimkuhler-matthews", **{
        "parameters.d": 5, "parameters.N": 4, "langevin.step": 0.01}),
    "chains, baoab": lambda: chained("two-layer-cubic-dataset", "baoab", **{
        "parameters.d": 5, "parameters.N": 4, "parameters.n": 9, "langevin.step": 0.01}),
    "chains, ghmc": lambda: chained("ridge", "ghmc"),
    "chains, modular": lambda: chained("two-layer-modular", "ghmc", **{
        "parameters.P": 5, "parameters.N": 4}),
    "chains, all broken": lambda: chained("two-layer-cubic", "euler-maruyama", **{
        "parameters.d": 5, "parameters.N": 4, "langevin.step": 20.0}),
    "escape": escaping,
    "version space": perceptrons,
    "landscapes": lambda: landscapes(
        cards.load("ising-perceptron", {"parameters.N": 5}), 3, 200, 2),
    "training": trained,
    "training, minibatches": lambda: trained(**{"training.batch": 5}),
    "training, noise": lambda: trained(**{
        "training.temperature": 1e-5}),
    "training, torch": lambda: trained(**{"training.engine": "torch"}),
    "training, wand": lambda: trained(**{
        "training.optimiser": "wand", "training.weight_decay": 0.0, "training.temperature": 1e-6,
        "training.deposit": 1e-3, "training.warmup": 0, "training.friction": 0.5}),
    "training, filter": lambda: trained(**{"training.filter": "ma", "training.filter_window": 5}),
    "training, snapshots": lambda: trained(**{"training.snapshots": "log:9"}),
    "training, snapshots at events": lambda: trained(**{
        "training.snapshots": "events", "training.lr": 0.03}),
    "training, torch, snapshots at events": lambda: trained(**{
        "training.snapshots": "events", "training.lr": 0.03, "training.engine": "torch"}),
    "clones of a network": lambda: cloned("mlp-subtraction-31", 3, **TRAINED | {
        "parameters.hidden": [12], "waiting_times.limit": 30, "event.hold": 4,
        "waiting_times.temperatures": [1e-6], "waiting_times.plateau_accuracy": 0.2,
        "waiting_times.snapshots": [0, 5, 20]}),
}


def cut(protocol, n):
    """State and groups of the whole run in calls of ``n`` units."""
    state = protocol.init(3)
    while protocol.done(state) < protocol.total():
        protocol.advance(state, n)
    return state, protocol.result(state)


def bits(value):
    """What two values must share to be the same in every bit."""
    array = np.asarray(value)
    return array.dtype.str, array.shape, array.tobytes() if array.dtype != object else repr(value)


def all_bits(state, groups):
    """Bits of every array of a state and of every variable and attribute of its groups."""
    found = {f.name: bits(getattr(state, f.name)) for f in dataclasses.fields(state)}
    for name, group in groups.items():
        found |= {f"{name}/{key}": bits(v.data) for key, v in group.variables.items()}
        found |= {f"{name}.{key}": bits(v) for key, v in group.attributes.items()}
    return found


# their kernels are compiled for this test alone, for half a minute each
_COMPILED_HERE = ("chains, baoab", "chains, leimkuhler", "chains, euler",
                  "sample, words, checkerboard, exchange")


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.slow) if name in _COMPILED_HERE else name
    for name in PROTOCOLS])
def test_blocks_do_not_change_a_bit(name):
    one, *others = (all_bits(*cut(PROTOCOLS[name](), n)) for n in BLOCKS)
    for other in others:
        assert other.keys() == one.keys()
        assert [key for key in one if one[key] != other[key]] == []


def test_sums_of_ramps_are_not_integers():
    """Of the system by which the order of adding is seen."""
    state, _ = cut(PROTOCOLS["ramp, one site"](), 7)
    assert np.any(state.sums != np.rint(state.sums))
