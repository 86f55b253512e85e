"""Phase diagrams: classes, temperatures and barriers of systems whose exact weights are known."""

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import brentq

from phasegrok import cards
from phasegrok.errors import InputError
from phasegrok.run import runfile
from phasegrok.studies.phase_diagram import (
    PhaseDiagramColumn,
    phase_diagram_columns,
    phase_diagram_series,
)
from phasegrok.theory import blume_capel, curie_weiss, ising
from phasegrok.theory.solved import curie_weiss_critical_point, phase_lines, strip_transition
from phasegrok.thermodynamics.phase_diagram import (
    PHASES,
    Reweighted,
    Series,
    analyse,
    crossing,
    equal_height,
    peak,
    phases,
    rungs,
    too_high,
    transition,
)

LADDERS = 16


def drawn(N, temperatures, couplings, n=400, seed=1, symmetric=False):
    """Independent draws from the exact weights of Curie-Weiss spins, as a run would give them."""
    rng = np.random.default_rng([seed, N])
    m_kr = []
    for T in temperatures:
        m, log_w = curie_weiss.log_weights(N, T, *couplings)
        p = np.exp(log_w - log_w.max())
        m_kr.append(rng.choice(m, (LADDERS, n), p=p / p.sum()))
    phi = np.array(m_kr)
    energy = N * curie_weiss.energy_per_spin(phi, *couplings)
    return Series(N, np.asarray(temperatures, float), energy, phi, symmetric)


def exact_peak(N, couplings, low, high):
    """Temperature and height of the peak of chi, from the exact weights on a fine grid."""
    T_t = np.linspace(low, high, 4001)
    chi_t = []
    for T in T_t:
        m, log_w = curie_weiss.log_weights(N, T, *couplings)
        p = np.exp(log_w - log_w.max())
        p /= p.sum()
        x = np.abs(m) if couplings == (0.0, 1.0, 0.0) else m
        chi_t.append(N * (p @ x**2 - (p @ x) ** 2) / T)
    return T_t[np.argmax(chi_t)], max(chi_t)


FIRST = (0.0, 1.0, 1.0)  # h, J2, J3: coexistence at T = 2.293
SYMMETRIC = (0.0, 1.0, 0.0)  # critical at T = 1, where +m and -m begin to coexist
FIELD = (1.2, 1.0, 1.0)  # beyond the critical point at h = 0.4014


@pytest.fixture(scope="module")
def first_order():
    return [drawn(N, np.linspace(1.7, 3.0, 12), FIRST) for N in (32, 64, 128)]


@pytest.fixture(scope="module")
def symmetric():
    return [drawn(N, np.linspace(0.6, 1.6, 14), SYMMETRIC, symmetric=True)
            for N in (100, 200, 400)]


# --- one value of the parameter -------------------------------------------------------------------


def test_first_order_where_the_barrier_grows(first_order):
    found = transition([Reweighted(series) for series in first_order])
    assert found.label == "first-order"
    exact = curie_weiss.coexistence(*FIRST).temperature
    assert abs(found.temperature - exact) < 3.0 * found.temperature_err < 0.02 * exact
    # equal height at every size against the exact weights of that size
    for s, N in enumerate((32, 64, 128)):
        known = curie_weiss.finite_coexistence(N, *FIRST)
        T, error = (found.sizes[f"barrier_temperature{x}"][s] for x in ("", "_err"))
        assert abs(T - known.temperature) < 3.0 * error < 0.02 * T
        barrier, error = (found.sizes[f"barrier{x}"][s] for x in ("", "_err"))
        assert error < 0.1 * barrier
        assert abs(barrier - known.barrier.from_low) < 3.0 * error


def test_peaks_have_their_exact_place_and_height(first_order, symmetric):
    for series, couplings in ((first_order[1], FIRST), (symmetric[0], SYMMETRIC)):
        found = peak(Reweighted(series), "susceptibility")
        T, height = exact_peak(series.n_sites, couplings, found.low, found.high)
        for row_b, known in ((found.temperature_b, T), (found.height_b, height)):
            error = math.sqrt(15.0 / 16.0 * ((row_b[1:] - row_b[1:].mean()) ** 2).sum())
            assert error < 0.01 * known
            assert abs(row_b[0] - known) < 3.0 * error


def test_continuous_where_peaks_grow_and_binder_ratios_cross(symmetric):
    data = [Reweighted(series) for series in symmetric]
    found = transition(data)
    assert found.label == "continuous"
    assert abs(found.temperature - 1.0) < 3.0 * found.temperature_err < 0.04
    # the Binder ratios of the exact weights of 200 and 400 spins cross here
    assert abs(found.binder_crossing - 0.992662) < 3.0 * found.binder_crossing_err < 0.02
    # chi ~ N^(1/2) at the mean-field critical point, with corrections below 0.05 at these sizes
    exact = [exact_peak(N, SYMMETRIC, 0.8, 1.4)[1] for N in (200, 400)]
    assert abs(found.growth - math.log(exact[1] / exact[0]) / math.log(2.0)) < (
        3.0 * found.growth_err) < 0.1
    assert abs(found.coexistence_end - 1.0) < 3.0 * found.coexistence_end_err + 0.01
    assert found.coexistence[0] == pytest.approx(0.6)
    T_t = np.array([0.65, 1.5])
    assert [PHASES[i] for i in phases(data[-2], data[-1], T_t)] == ["ordered", "disordered"]


def test_crossover_where_the_peak_stops_growing():
    series = [drawn(N, np.linspace(2.5, 6.5, 14), FIELD) for N in (32, 64, 128)]
    found = transition([Reweighted(one) for one in series])
    assert found.label == "crossover"
    assert not np.isfinite(found.coexistence_end)
    exact = exact_peak(128, FIELD, 2.6, 6.4)[0]
    assert abs(found.temperature - exact) < 3.0 * found.temperature_err < 0.03 * exact


def test_the_sign_of_the_order_parameter_does_not_matter(first_order):
    mirrored = [Series(one.n_sites, one.temperatures_k, one.energy_krt, -one.phi_krt, False)
                for one in first_order]
    found, other = (transition([Reweighted(one) for one in series])
                    for series in (first_order, mirrored))
    assert found.label == other.label
    for name in ("temperature", "temperature_err", "growth", "growth_err"):
        assert getattr(other, name) == pytest.approx(getattr(found, name), rel=1e-6), name
    for one, two in zip(first_order, mirrored):
        rows = [Reweighted(x).averages(0.5 * sum(Reweighted(x).range)) for x in (one, two)]
        assert rows[0]["order_parameter"] == pytest.approx(-rows[1]["order_parameter"])
        assert rows[0]["susceptibility"] == pytest.approx(rows[1]["susceptibility"])


def test_few_independent_samples_are_no_evidence(first_order):
    """The same averages, of series that stand still most of the time."""
    few = [dataclasses.replace(one, energy_krt=one.energy_krt[..., :5],
                               phi_krt=one.phi_krt[..., :5]) for one in first_order]
    slow = [dataclasses.replace(one, energy_krt=np.repeat(one.energy_krt, 500, axis=2),
                                phi_krt=np.repeat(one.phi_krt, 500, axis=2)) for one in few]
    assert not Reweighted(slow[-1]).is_evidence
    found = transition([Reweighted(one) for one in slow])
    assert found.label == "undecided" and "independent samples" in found.reason


def test_undecided_without_sizes_or_peak_or_equilibrium(first_order, symmetric):
    assert transition([Reweighted(first_order[0])]).reason == "one size only"
    above = [drawn(N, np.linspace(3.0, 4.0, 5), FIRST) for N in (32, 64)]
    assert transition([Reweighted(one) for one in above]).label == "undecided"
    stuck = first_order[1].energy_krt.copy()
    ordered_r = np.arange(stuck.shape[1]) // 2 % 2 == 1
    stuck[:, ordered_r] += 0.5 * stuck.std(axis=(1, 2))[:, None, None]
    late = Series(64, first_order[1].temperatures_k, stuck, first_order[1].phi_krt, False)
    found = transition([Reweighted(first_order[0]), Reweighted(late)])
    assert found.label == "undecided" and "disagree" in found.reason


def test_a_size_without_equilibrium_is_no_evidence(first_order):
    stuck = first_order[2].energy_krt.copy()
    ordered_r = np.arange(stuck.shape[1]) // 2 % 2 == 1
    stuck[:, ordered_r] += 0.5 * stuck.std(axis=(1, 2))[:, None, None]
    late = Series(128, first_order[2].temperatures_k, stuck, first_order[2].phi_krt, False)
    found = transition([Reweighted(one) for one in (*first_order[:2], late)])
    assert found.label == "first-order" and len(found.sizes["barrier"]) == 2


def test_phases_in_a_field_are_named_by_the_sign():
    series = [drawn(N, np.linspace(1.4, 3.2, 10), (-0.2, 1.0, 1.0)) for N in (32, 64)]
    column = analyse(series)
    T_co = curie_weiss.coexistence(-0.2, 1.0, 1.0).temperature  # the sign changes there
    hot = column.temperatures_t > T_co + 0.4
    cold = column.temperatures_t < T_co - 0.4
    assert {PHASES[i] for i in column.phase_t[hot]} == {"negative"}
    assert {PHASES[i] for i in column.phase_t[cold]} == {"positive"}


def test_crossing_of_known_curves():
    T = np.linspace(0.0, 1.0, 21)[:, None]
    rows = 0.01 * np.array([0.0, 1.0, -1.0, 2.0, -2.0])
    small, large = 1.0 - T + rows, 1.9 - 3.0 * T - rows
    value, error = crossing(T[:, 0], small, large)
    assert value == pytest.approx(0.45, abs=1e-12)
    # each size moves the root by row / 2; jackknife of (1, -1, 2, -2) / 200 is sqrt(3/4 10) / 200
    assert error == pytest.approx(math.sqrt(2.0) * math.sqrt(7.5) / 200.0)
    assert math.isnan(crossing(T[:, 0], large, small)[0])


def test_no_barrier_where_there_is_one_well():
    series = drawn(64, np.linspace(2.5, 6.5, 14), FIELD)
    data = Reweighted(series)
    found = equal_height(data, peak(data, "susceptibility"))
    error = math.sqrt(15.0 / 16.0 * ((found.barrier_b - found.barrier_b.mean()) ** 2).sum())
    assert found.barrier_b[0] <= 3.0 * max(error, 0.01)


def test_rungs_are_close_enough_for_exchange(first_order):
    T_k = rungs(Reweighted(first_order[0]), 128)
    assert 1.7 <= T_k[0] < T_k[-1] <= 3.0
    # far enough that 128 spins are in one phase at either end: they coexist at 2.3224
    assert T_k[0] < 2.2 and T_k[-1] > 2.45
    for cold, hot in pairwise(T_k):
        C = curie_weiss.thermodynamics(128, 0.5 * (cold + hot), *FIRST).heat_capacity
        # standard deviations of E between neighbours; more where C of 128 peaks higher than of 32
        assert math.sqrt(C) * (hot - cold) / (0.5 * (cold + hot)) < 2.0


def test_a_barrier_too_high_is_not_tried(first_order):
    assert not too_high(first_order[:2], 128)
    assert too_high(first_order, 2000)  # 0.0218 nat a spin


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
        found = data.averages(T)
        for name, exact in known.items():
            rows = found[name]
            error = math.sqrt(15.0 / 16.0 * ((rows[1:] - rows[1:].mean()) ** 2).sum())
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
        for row_b, exact in ((one.temperature_b, known.temperature),
                             (one.barrier_b, known.barrier.from_low)):
            error = math.sqrt(15.0 / 16.0 * ((row_b[1:] - row_b[1:].mean()) ** 2).sum())
            assert error < 0.1 * exact
            assert abs(row_b[0] - exact) < 3.0 * error


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


@pytest.mark.slow
def test_errors_are_calibrated():
    """z of the temperature of coexistence and of the critical point, over 24 seeds."""
    z = []
    exact = [curie_weiss.finite_coexistence(N, *FIRST).temperature for N in (32, 64)]
    for seed in range(24):
        for N, known in zip((32, 64), exact):
            data = Reweighted(drawn(N, np.linspace(1.7, 3.0, 8), FIRST, seed=seed))
            T_b = equal_height(data, peak(data, "susceptibility")).temperature_b
            error = math.sqrt(15.0 / 16.0 * ((T_b[1:] - T_b[1:].mean()) ** 2).sum())
            z.append((T_b[0] - known) / error)
    z = np.array(z)  # 48 values: the rms of a unit normal is 1 +- 0.1
    assert 0.7 < math.sqrt(np.mean(z**2)) < 1.35
    assert abs(z.mean()) < 3.0 / math.sqrt(len(z))
