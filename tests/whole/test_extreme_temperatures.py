"""Temperatures far below and far above every energy: right, or refused in one sentence."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from phasegrok import cards
from phasegrok.cards.values import temperature_grid
from phasegrok.dynamics.multi_spin import flip_probabilities
from phasegrok.errors import InputError
from phasegrok.figures.replicas import averages_table
from phasegrok.groups import Group
from phasegrok.studies.relaxation import relaxation
from phasegrok.studies.waiting_times import clones
from phasegrok.theory import ising
from phasegrok.theory.solved import exact_averages
from phasegrok.thermodynamics.averages import Blocks
from phasegrok.thermodynamics.density_of_states import canonical

TEMPERATURES = (1e-100, 1e-50, 2e-3, 0.05, 0.3, 2.0, 300.0, 1e50, 1e100)


def enumerated(energy, temperature, n):
    """Energy and heat capacity a site from all states, from the lowest one on."""
    excess = energy - energy.min()
    weight = np.exp(-excess / temperature)
    p = weight / weight.sum()
    mean = p @ excess
    return ((energy.min() + mean) / n,
            float(p @ ((excess - mean) / temperature) ** 2) / n)


def states(n):
    return np.array(list(itertools.product([-1.0, 1.0], repeat=n)))


def ring(n, J, h):
    s = states(n)
    return -J * (s * np.roll(s, 1, axis=1)).sum(axis=1) - h * s.sum(axis=1)


def square(L):
    s = states(L * L).reshape(-1, L, L)
    return -(s * np.roll(s, 1, axis=1) + s * np.roll(s, 1, axis=2)).sum(axis=(1, 2))


def east(n):
    number = states(n).sum(axis=1) / 2.0 + n / 2.0
    return number[number > 0]


def curie_weiss(n):
    m = states(n).mean(axis=1)
    return -n * (0.5 * m**2 + m**3)


def potts(n, q):
    s = np.array(list(itertools.product(range(q), repeat=n)))
    counts = (s[:, :, None] == np.arange(q)).sum(axis=1)
    return -((counts**2).sum(axis=1) - n) / (2.0 * n)


CASES = {
    **{f"ring of {n}, J = {J}, h = {h}": ("ising-chain", {"N": n, "J": J, "h": h}, ring(n, J, h), n)
       for n, J, h in ((6, 1.0, 0.0), (7, 1.0, 0.0), (6, 1.0, -0.3), (6, -1.0, 0.0),
                       (7, -1.0, 0.0), (7, -1.0, 0.5), (6, -1.0, 1.9), (7, -1.0, 2.0),
                       (7, -1.0, 2.5), (6, 0.0, 0.7))},
    "square": ("ising-2d", {"L": 3, "J": 1.0, "h": 0.0, "J2": 0.0}, square(3), 9),
    "square of 4": ("ising-2d", {"L": 4, "J": 1.0, "h": 0.0, "J2": 0.0}, square(4), 16),
    "east": ("east", {"N": 7, "J": 1.0}, east(7), 7),
    "curie-weiss": ("curie-weiss", {"N": 8, "h": 0.0, "J2": 1.0, "J3": 1.0}, curie_weiss(8), 8),
    "curie-weiss, two lowest": ("curie-weiss", {"N": 8, "h": 0.0, "J2": 1.0, "J3": 0.0},
                                -4.0 * states(8).mean(axis=1) ** 2, 8),
    "potts": ("potts-mean-field", {"q": 3, "N": 7, "J": 1.0}, potts(7, 3), 7),
}


@pytest.mark.parametrize("name", CASES)
def test_exact_averages(name):
    kind, parameters, energy, n = CASES[name]
    found = exact_averages(kind, SimpleNamespace(**parameters), TEMPERATURES)
    for k, temperature in enumerate(TEMPERATURES):
        e, c = enumerated(energy, temperature, n)
        assert found["energy"][k] == pytest.approx(e, rel=1e-7, abs=1e-13), temperature
        # rounding of 1e-15 K^2, as said in the docstrings, is far below what is seen at T >= 0.05
        assert found["heat_capacity"][k] == pytest.approx(c, rel=1e-4, abs=1e-9), temperature


def test_the_torus_where_it_is_hot():
    """The expansion meets the full formula, and keeps its digits where that rounds."""
    for L in (3, 4, 5):
        cold, hot = (ising.kaufman(L, T) for T in (0.99999e4, 1.00001e4))
        for name in ("ln_Z", "energy", "heat_capacity"):
            scale = {"ln_Z": 0, "energy": 1, "heat_capacity": 2}[name]
            assert getattr(hot, name) * 1.00001**scale == pytest.approx(
                getattr(cold, name) * 0.99999**scale, rel=3e-7)
        assert float(ising.kaufman(L, 1e60).energy) == pytest.approx(-2.0 * L * L * 1e-60)


def test_thermodynamics_of_levels():
    """At the lowest T the lowest states count, at the highest all, wherever zero energy is."""
    energy, log_g = np.array([-1e6, -1e6 + 1.0, 5.0]), np.log([2.0, 3.0, 7.0])
    found = canonical(energy, log_g, np.array([1e-100, 0.05, 1e100]), 4)
    p = 3.0 * math.exp(-20.0) / (2.0 + 3.0 * math.exp(-20.0))
    assert found["mean_energy"][0] == -0.25e6 and found["heat_capacity"][0] == 0.0
    assert found["heat_capacity"][1] == pytest.approx(400.0 * p * (1.0 - p) / 4.0, rel=1e-9)
    assert found["entropy"] == pytest.approx([math.log(2.0) / 4.0] * 2 + [math.log(12.0) / 4.0])
    assert found["mean_energy"][2] == pytest.approx(energy @ [2, 3, 7] / 48.0)


def test_flips():
    p = flip_probabilities(1.0, 0.5, 4, "metropolis", 1e-100)
    assert set(np.unique(p)) == {0.0, 1.0}
    assert np.all(flip_probabilities(1.0, 0.5, 4, "heat-bath", 1e100)[:, :5] == 0.5)


def test_a_frozen_run_has_no_heat_capacity_by_rounding():
    """All sweeps at one energy that is no binary fraction: E^2 - E E rounds, and 1/T^2 is 1e200."""
    e = -7.3
    row = np.array([e, e * e, 0.1, 0.1, 0.01, 0.0001])
    moments = np.cumsum(np.tile(row, (30, 1)), axis=0)[-1] * np.ones((4, 16, 1))
    blocks = Blocks(moments, np.zeros((0, 16, 2)), 30, 1e-100, 10)
    assert blocks.functions()["heat_capacity"] == (0.0, 0.0)


def test_no_z_score_without_an_error():
    """A frozen run varies not at all: there is no error in which to count."""
    group = Group(attributes={"replicas": 8, "sweeps": 400, "dynamics": "", "samples": 1,
                              "converged": True, "converged_reason": ""})
    group.add("temperature", [2e-3, 1.0], "temperature")
    group.add("equilibrated", [True, True], "temperature")
    for name, values in {"energy": [-1.0, -0.9], "energy_err": [0.0, 0.01],
                         "exact_energy": [-1.0, -0.92]}.items():
        group.add(name, values, "temperature")
    rows = averages_table(group).splitlines()
    assert "nan" not in "".join(rows) and "inf" not in "".join(rows)
    assert "+2.0" in rows[5] and rows[4].split() == ["0.002", "-1"]


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["1e-300", "1e300", "1:1e200:3", "1e-320,1"])
def test_grids_beyond_double_precision(text):
    with pytest.raises(ValueError, match="between 1e-100 and 1e"):
        temperature_grid(text)


@pytest.mark.parametrize("make", [
    lambda t: clones(cards.load("curie-weiss-p3"), t),
    lambda t: clones(cards.load("control-saddle"), t),
    lambda t: relaxation(cards.load("glauber-chain"), temperature=t),
])
@pytest.mark.parametrize("temperature", [1e-300, 1e300])
def test_single_temperatures_beyond_double_precision(make, temperature):
    with pytest.raises(InputError, match="between 1e-100 and 1e"):
        make(temperature)


def test_noise_that_steps_over_the_event():
    """sqrt(2 T dt) of control-saddle reaches from 0 to 0.5 at T = 125."""
    card = cards.load("control-saddle")
    with pytest.raises(InputError, match="leads past the event: give less than 125"):
        clones(card, 126.0)
    assert clones(card, 124.0).temperature == 124.0


@pytest.mark.slow
def test_a_chain_at_the_ends_of_temperature(call, no_figures, tmp_path):
    from phasegrok.run import runfile

    words = ("sample", "glauber-chain", "--quick", "--set", "N=12", "--set", "replicas=8", "--set",
             "sweeps=400", "--set", "equilibration=50", "--temperatures", "0.002,1e-50,1e50",
             "--out", tmp_path / "x.h5")
    ended = call(*words)
    assert ended.code == 0 and "nan" not in ended.out
    group = runfile.read(tmp_path / "x.h5")["averages"]
    assert group["exact_energy"][:2].tolist() == [-1.0, -1.0]
    assert np.all(group["exact_heat_capacity"] == 0.0)
    assert abs(group["energy"][2]) < 4.0 * group["energy_err"][2]
