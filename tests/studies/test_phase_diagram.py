"""Phase diagrams of runs: ladders against exact counting, lines that are known, the script."""

import math

import numpy as np
import pytest
from exact_samples import FIRST, jackknife
from scipy.optimize import brentq

from phasegrok import cards
from phasegrok.cards import InputError
from phasegrok.run import runfile
from phasegrok.studies.phase_diagram import (
    PhaseDiagramColumn,
    phase_diagram_columns,
    phase_diagram_series,
)
from phasegrok.theory import blume_capel, curie_weiss, ising
from phasegrok.theory.solved import curie_weiss_critical_point, phase_lines, strip_transition
from phasegrok.thermodynamics.curves import Reweighted
from phasegrok.thermodynamics.peaks import peak
from phasegrok.thermodynamics.smooth_potential import equal_height

# --- from ladders ---------------------------------------------------------------------------------


def ladder_series(name, changes, temperatures, sweeps, replicas, dynamics, seed=1):
    text = ", ".join(map(repr, temperatures))
    card = cards.load(name, changes | {
        "phase_diagram.temperatures": text, "phase_diagram.sweeps": sweeps,
        "phase_diagram.equilibration": sweeps // 5, "phase_diagram.replicas": replicas,
        "phase_diagram.dynamics": dynamics})
    protocol = phase_diagram_series(card)
    state = protocol.init(seed)
    protocol.advance(state, protocol.total())
    column = PhaseDiagramColumn(0.0, card)
    column.add(protocol.result(state))
    return column.series[0]


def test_averages_of_ladders_are_those_of_exact_counting():
    L = 4
    series = ladder_series("ising-2d", {"L": L}, (1.8, 2.3, 3.0), 20000, 64, "metropolis")
    assert series.symmetric and series.n_sites == 16
    data = Reweighted(series)
    E, M, g = ising.joint_density_of_states(L)
    m = np.abs(M) / 16.0
    for T in (1.9, 2.2, 2.7):  # between the rungs
        p = g * np.exp(-(E - E.min()) / T)[:, None]
        p /= p.sum()
        p_E, p_M = p.sum(axis=1), p.sum(axis=0)
        known = {"energy": p_E @ E / 16.0, "order_parameter_abs": p_M @ m,
                 "heat_capacity": (p_E @ E**2 - (p_E @ E) ** 2) / (16.0 * T**2),
                 "susceptibility": 16.0 * (p_M @ m**2 - (p_M @ m) ** 2) / T,
                 "binder": 1.0 - p_M @ m**4 / (3.0 * (p_M @ m**2) ** 2)}
        found = data.averages(np.array([T]))
        for name, exact in known.items():
            rows = found[name][:, 0]
            error = jackknife(rows)
            assert error < 0.01 * abs(exact), name
            assert abs(rows[0] - exact) < 3.5 * error, name


def test_curie_weiss_from_ladders_against_exact_weights():
    changes = {"h": -0.1}
    T = np.linspace(1.5, 3.0, 8).tolist()
    found = [equal_height(data, peak(data, "susceptibility")) for data in (
        Reweighted(ladder_series("curie-weiss-field", changes | {"N": N}, T, 8000, 16,
                                 "heat-bath")) for N in (24, 48))]
    for N, one in zip((24, 48), found):
        known = curie_weiss.finite_coexistence(N, -0.1, 1.0, 1.0)
        for row_r, exact in ((one.temperature_r, known.temperature),
                             (one.barrier_r, known.barrier.from_low)):
            error = jackknife(row_r)
            assert error < 0.1 * exact
            assert abs(row_r[0] - exact) < 3.0 * error


def test_a_resumed_ladder_is_the_same():
    card = cards.load("curie-weiss-field", {
        "N": 16, "phase_diagram.temperatures": "1.5:3.0:4", "phase_diagram.sweeps": 200,
        "phase_diagram.equilibration": 40, "phase_diagram.replicas": 4})
    protocol = phase_diagram_series(card)
    whole, cut = protocol.init(3), protocol.init(3)
    protocol.advance(whole, 200)
    for n in (7, 30, 1):
        protocol.advance(cut, n)
    cut = protocol.restore(runfile.pack_dataclass(cut))
    protocol.advance(cut, 1000)
    for name, value in vars(whole).items():
        assert np.array_equal(value, getattr(cut, name)), name
    assert protocol.done(cut) == protocol.total() == 200


# --- lines that are known -------------------------------------------------------------------------


def test_curie_weiss_line_ends_where_its_spinodals_meet():
    h, T = curie_weiss_critical_point(1.0, 1.0)
    spinodal, _ = curie_weiss.spinodals(h - 1e-6, 1.0, 1.0)
    assert spinodal[-1] - spinodal[-2] == pytest.approx(0.0, abs=1e-6)
    assert spinodal[-1] == pytest.approx(T, abs=1e-5)
    assert len(curie_weiss.spinodals(h + 1e-6, 1.0, 1.0)[0]) < len(spinodal)
    assert curie_weiss_critical_point(1.5, 0.0) == (0.0, 1.5)


def test_strips_know_the_line_of_blume_capel():
    def inverse_length(L, T):
        """Of spins 1/2 on a strip: half the sum of gamma_{2r+1} - gamma_{2r} (Onsager 1944)."""
        K = 1.0 / T
        angle = np.pi * np.arange(1, 2 * L) / L
        gamma = np.arccosh(np.cosh(2.0 * K) / np.tanh(2.0 * K) - np.cos(angle))
        gamma = np.concatenate([[2.0 * K + math.log(math.tanh(K))], gamma])
        return 0.5 * (gamma[1::2].sum() - gamma[::2].sum())

    # D -> -infinity: spins 1/2
    exact = brentq(lambda T: 4.0 * inverse_length(4, T) - 5.0 * inverse_length(5, T), 2.0, 2.6)
    assert strip_transition(-40.0) == pytest.approx(exact, abs=2e-4)
    # D = 0: 1.6935(10), Beale, Phys. Rev. B 33 (1986) 1717
    assert strip_transition(0.0) == pytest.approx(1.6935, rel=0.01)
    point = blume_capel.TRICRITICAL_POINT_2D
    assert strip_transition(point.D) == pytest.approx(point.temperature, rel=0.01)
    assert math.isnan(strip_transition(2.1))


def test_known_transitions_at_the_values_of_a_scan():
    card = cards.load("ising-2d")
    found = phase_lines("ising-2d", card.parameters, "h", np.array([-0.1, 0.0]))
    assert np.isnan(found.temperature[0])
    assert found.temperature[1] == pytest.approx(2.269185, abs=1e-6)
    card = cards.load("potts-2d")
    found = phase_lines("potts-2d", card.parameters, "q", np.array([4.0, 5.0]))
    assert found.first_order.tolist() == [False, True]
    assert found.temperature[1] == pytest.approx(1.0 / math.log1p(math.sqrt(5.0)))
    card = cards.load("curie-weiss-field")
    found = phase_lines("curie-weiss", card.parameters, "h", np.array([0.0, 0.5]))
    assert found.temperature[0] == pytest.approx(curie_weiss.coexistence(*FIRST).temperature)
    assert np.isnan(found.temperature[1])
    assert phase_lines("east", None, "h", np.zeros(1)) is None


# --- the script -----------------------------------------------------------------------------------


def test_the_script_scans_refines_and_draws(call, tmp_path):
    ended = call("phase_diagram", "curie-weiss-field", "--out", tmp_path / "scan",
                 "--set", "values=[0.0,1.2]", "--set", "phase_diagram.sizes=[24,48]",
                 "--set", "phase_diagram.sweeps=3000", "--set", "phase_diagram.equilibration=500",
                 "--set", "refinements=1", "--set", "phase_diagram.temperatures=1.6:6.0:10")
    assert ended.code == 0, ended.err
    run = runfile.read(tmp_path / "scan" / "scan.h5")
    found, plane = run["transitions"], run["phase_diagram"]
    names = list(found.attributes["classes"])
    labels = [names[k] for k in found["label"]]
    assert found["value"].tolist() == [0.0, 0.6, 1.2]  # one half-way was added
    assert labels[0] == "first-order" and "first-order" not in labels[1:]
    T, error = found["temperature"][0], found["temperature_err"][0]
    # linear in 1/N from N = 24 and 48 leaves 0.003, from the exact weights
    assert abs(T - found["known_temperature"][0]) < 3.0 * error + 0.003
    assert plane["heat_capacity"].shape == (3, 2, len(plane["temperature"]))
    error_vst = plane["order_parameter_err"]  # NaN beyond the range of the larger size
    assert np.isfinite(error_vst[:, 0]).all() and np.isfinite(error_vst[:, 1]).mean() > 0.25
    assert (tmp_path / "scan" / "scan.png").stat().st_size > 10_000
    assert "first-order transitions end between h = 0 and" in ended.out


@pytest.mark.parametrize(("card", "changes", "message"), [
    ("ising-2d", {"parameter": "D"}, "parameters are"),
    ("ising-2d", {"phase_diagram.values": []}, "give values"),
    ("ising-3d", {}, r"needs \[phase_diagram\]"),
    ("transformer-subtraction-31", {}, "discrete"),
])
def test_what_is_missing_is_said(card, changes, message):
    with pytest.raises(InputError, match=message):
        phase_diagram_columns(cards.load(card, changes))
