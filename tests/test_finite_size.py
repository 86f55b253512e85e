"""Finite-size scaling: estimators against exact enumeration and known scaling, barriers, runs."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import optimize

from phasegrok import cards
from phasegrok.cards.values import temperature_grid
from phasegrok.errors import InputError
from phasegrok.run import runfile
from phasegrok.studies import common as protocols
from phasegrok.studies.density_of_states import wang_landau
from phasegrok.studies.finite_size import (
    _flip_energy,
    _landscape_of,
    _size_of_run,
    finite_size_sample,
    finite_size_settings,
    finite_size_windows,
)
from phasegrok.theory import curie_weiss, ising, potts
from phasegrok.theory.solved import critical_point
from phasegrok.thermodynamics import finite_size as fss
from phasegrok.thermodynamics.order import order_of_transition

T_C = ising.critical_temperature()
OMEGA = 1.75


# --- curves and crossings, against exact densities of states --------------------------------------


@pytest.fixture(scope="module")
def exact_weights():
    """ln g(E, M), E, |m| of every state class of small lattices."""
    found = {}
    for L in (4, 6):
        energy, M, g = ising.joint_density_of_states(L)
        e, m = np.nonzero(g)
        found[L] = np.log(g[e, m].astype(float)), energy[e].astype(float), M[m] / L**2
    return found


def _exact(weights, L, T):
    """U, dU/dT, <|m|>, chi and C of a lattice by summation, dU/dT by a difference."""
    log_g, E, m = weights[L]

    def mean(T, x):
        p = np.exp(log_g - E / T - (log_g - E / T).max())
        return p @ x / p.sum()

    def U(T):
        return 1.0 - mean(T, m**4) / (3.0 * mean(T, m**2) ** 2)

    size = mean(T, abs(m))
    return {"binder": U(T), "binder_slope": (U(T + 1e-5) - U(T - 1e-5)) / 2e-5,
            "order_parameter_abs": size, "susceptibility": L**2 * (mean(T, m**2) - size**2) / T,
            "heat_capacity": (mean(T, E**2) - mean(T, E) ** 2) / (L**2 * T**2)}


def _drawn(weights, L, temperatures, rng, replicas=64, n=400):
    """Series of independent exact samples at several temperatures, combined."""
    log_g, E, m = weights[L]
    series = []
    for T in temperatures:
        p = np.exp(log_g - E / T - (log_g - E / T).max())
        state = rng.choice(len(p), (replicas, n), p=p / p.sum())
        series.append((E[state], m[state]))
    energy, phi = (np.array(x) for x in zip(*series))
    ones = np.ones(len(temperatures))
    return fss.combine(L, L**2, np.array(temperatures), ones, energy, phi, replicas)


TEMPERATURES = (2.0, 2.4, 2.8)


def test_curves_and_their_errors_against_enumeration(exact_weights):
    rng = np.random.default_rng(5)
    grid = np.array([2.0, 2.13, 2.5, 2.8])
    z = []
    for _ in range(12):
        found = fss.curves(_drawn(exact_weights, 4, TEMPERATURES, rng), grid)
        for name in fss.CURVES:
            value, error = found.mean_and_error(name)
            expected = [_exact(exact_weights, 4, T)[name] for T in grid]
            z.append((value - expected) / error)
    z = np.array(z)  # 12 seeds x 5 names, 4 temperatures of which about 3 are independent
    assert abs(z.mean()) < 4.0 / math.sqrt(12 * 2)
    assert 0.85 < math.sqrt((z**2).mean()) < 1.15
    assert error.max() / np.abs(value).max() < 0.03


def test_crossing_and_quotients_against_enumeration(exact_weights):
    T = optimize.brentq(lambda T: _exact(exact_weights, 4, T)["binder"]
                        - _exact(exact_weights, 6, T)["binder"], 2.0, 2.8)
    small, large = (_exact(exact_weights, L, T) for L in (4, 6))
    b = math.log(6 / 4)
    expected = [T, small["binder"], math.log(large["binder_slope"] / small["binder_slope"]) / b,
                -math.log(large["order_parameter_abs"] / small["order_parameter_abs"]) / b,
                math.log(large["susceptibility"] / small["susceptibility"]) / b]
    rng = np.random.default_rng(6)
    z = []
    for _ in range(16):
        found = fss.crossings([_drawn(exact_weights, L, TEMPERATURES, rng) for L in (4, 6)])
        assert found.sizes_p2.tolist() == [[4, 6]]
        z.append((found.values_pq[0] - expected) / found.errors_pq[0])
    z = np.array(z)
    assert np.all(np.abs(z.mean(axis=0)) < 4.0 / math.sqrt(16))
    assert 0.7 < math.sqrt((z**2).mean()) < 1.3


def test_what_the_histograms_do_not_cover_is_refused(exact_weights):
    data = _drawn(exact_weights, 6, TEMPERATURES, np.random.default_rng(7), replicas=8, n=50)
    assert data.found.log_g_jackknife_bc.shape[0] == 8
    with pytest.raises(ValueError, match="do not cover"):
        fss.curves(data, [40.0])
    with pytest.raises(ValueError, match="blocks"):
        fss.histograms(np.zeros((1, 4, 10)), np.zeros((1, 4, 10)), 6)


def test_many_energies_are_binned_far_finer_than_they_fluctuate():
    rng = np.random.default_rng(1)
    energy = rng.normal(0.0, 50.0, (1, 8, 5000))
    phi = rng.normal(size=energy.shape)
    energies, counts, sums = fss.histograms(energy, phi, 8)
    assert len(energies) < energy.size and counts.sum() == energy.size
    p = counts.sum(axis=(0, 1)) / energy.size
    assert p @ energies == pytest.approx(energy.mean(), abs=1e-3 * 50.0)
    assert sums.sum(axis=(1, 2, 3)) == pytest.approx(
        [(abs(phi) ** n).sum() for n in (1, 2, 4)])


# --- limits and maxima ----------------------------------------------------------------------------


def test_limit_of_large_sizes_is_unbiased_where_the_correction_hides_in_the_errors():
    rng = np.random.default_rng(2)
    sizes, error = np.array([8, 16, 32, 64]), np.array([2e-3, 2e-3, 3e-3, 4e-3])
    true = 1.0 + 0.15 * sizes**-OMEGA  # 2 errors at L = 8
    z = []
    for _ in range(300):
        limit = fss.large_size_limit(sizes, true + error * rng.normal(size=4), np.diag(error**2),
                                     OMEGA)
        z.append((limit.value - 1.0) / limit.error)
    assert abs(np.mean(z)) < 4.0 / math.sqrt(300)
    assert 0.85 < np.std(z) < 1.15
    assert np.isnan(fss.large_size_limit([8], [math.nan], np.ones((1, 1)), 1.0).value)


def test_smallest_size_is_left_out_where_one_correction_is_not_enough():
    sizes = np.array([4, 8, 16, 32, 64])
    values = 2.0 + 0.5 * sizes**-1.0 + np.array([0.3, 0.0, 0.0, 0.0, 0.0])
    limit = fss.large_size_limit(sizes, values, 1e-6 * np.eye(5), 1.0)
    assert limit.n == 4 and limit.value == pytest.approx(2.0) and limit.chi2 < 1e-6
    assert limit.amplitude == pytest.approx(0.5)


def test_maximum_of_a_parabola_and_none_at_an_end():
    T = np.linspace(0.0, 1.0, 41)
    rows = np.stack([3.0 - (T - 0.412) ** 2, 3.0 - (T - 0.412) ** 2, 3.0 - (T + 1.0) ** 2])
    found = fss.Curves(8, 64, T, {"susceptibility": rows})
    value, error = fss.maximum(found, "susceptibility")
    assert value == pytest.approx([0.412, 3.0]) and np.isnan(error).all()


# --- data collapse --------------------------------------------------------------------------------


def _points(rng, sizes=(8, 16, 32, 64), relative=2e-3, correction=0.0, bend=0.0, fault=0.0):
    """Points on known scaling functions, with errors that are correlated within a size."""
    data = []
    for L in sizes:
        x = np.linspace(-0.7, 0.7, 5)
        T = T_C * (1.0 + x / L)
        t = T / T_C - 1.0
        x = t * (1.0 + bend * t) * L
        shift = correction * L**-OMEGA
        y = np.stack([0.6 - 0.25 * np.tanh(x) + shift + fault * (L == 32),
                      -0.4 * np.tanh(x) - 0.125 * math.log(L) + shift,
                      -x**2 / 2.0 + 0.3 * x + 1.75 * math.log(L) - shift])
        distance = np.abs(np.subtract.outer(np.arange(15) % 5, np.arange(15) % 5))
        covariance = relative**2 * (0.2 * np.eye(15) + 0.8 * np.exp(-distance / 2.0)
                                    * np.kron(np.eye(3) * 0.6 + 0.4, np.ones((5, 5))))
        noise = np.linalg.cholesky(covariance) @ rng.normal(size=15)
        data.append(fss.Points(L, T, y + noise.reshape(3, 5), covariance))
    return data


EXACT = np.array([T_C, 1.0, 0.125, 1.75])


@pytest.mark.parametrize("corrections", [{}, {"bend": -0.3}, {"correction": 0.2},
                                         {"correction": 0.6, "bend": -0.7}])
def test_collapse_finds_exponents_with_honest_errors(corrections):
    rng = np.random.default_rng(3)
    z, p = [], []
    for _ in range(40):
        found = fss.collapse(_points(rng, **corrections), (T_C * 1.001, 0.97), OMEGA)
        assert found.collapsed
        z.append((found.parameters - EXACT) / found.errors)
        p.append(found.p)
    z = np.array(z)
    assert np.all(np.abs(z.mean(axis=0)) < 4.0 / math.sqrt(40))
    assert 0.8 < math.sqrt((z**2).mean()) < 1.2
    assert 0.3 < np.mean(p) < 0.7
    assert found.errors[1] < 0.03


def test_what_does_not_scale_does_not_collapse():
    rng = np.random.default_rng(4)
    found = fss.collapse(_points(rng, fault=0.05), (T_C, 1.0), OMEGA)
    assert not found.collapsed and "no collapse" in found.reason
    few = fss.collapse(_points(rng, sizes=(8, 16)), (T_C, 1.0), OMEGA)
    assert not few.collapsed and np.isnan(few.parameters).all()


def _smooth(rng, sizes=(8, 16, 32), relative=1e-3, second=0.6, stretched=0.0):
    """Windows of the same data, whole, half and a quarter, with terms of the next order.

    What is not known of the curve of a size is a smooth function of x, each Chebyshev coefficient
    0.3 of the one before: as reweighting has it.  ``stretched`` is for the size in the middle.
    """
    noise = {L: relative * 0.3 ** np.arange(5) * rng.normal(size=(3, 5)) for L in sizes}
    windows = []
    for share in fss.SHARES:
        data = []
        for L in sizes:
            u = share * np.linspace(-1.0, 1.0, 5)
            x = 0.9 * u
            t = x / L
            next_order = second * np.stack([-0.1 * t * x**2, t * t + 0.1 * t * x**2,
                                            2.0 * t * t - 0.3 * t * x**2])
            y = next_order + np.stack([0.6 - 0.25 * np.tanh(x) + 0.2 * L**-OMEGA,
                                       -0.4 * np.tanh(x) - 0.125 * math.log(L),
                                       -x**2 / 2.0 + 0.3 * x + 1.75 * math.log(L)])
            basis = np.polynomial.chebyshev.chebvander(u, 4)
            part = (basis * (relative * 0.3 ** np.arange(5)) ** 2) @ basis.T
            wide = 1.0 + stretched * (L == sizes[1])
            data.append(fss.Points(L, T_C * (1.0 + wide * t), y + noise[L] @ basis.T,
                                   np.kron(np.eye(3), part)))
        windows.append(data)
    return windows


def test_small_sizes_of_a_critical_point_collapse_near_it():
    """Terms that are a fraction of an error bar far from T_c are no lack of scaling."""
    rng = np.random.default_rng(11)
    for _ in range(3):
        whole, *narrower = _smooth(rng)
        assert not fss.collapse(whole, (T_C, 1.0), OMEGA).collapsed
        found = fss.collapse(whole, (T_C, 1.0), OMEGA, tuple(narrower))
        assert found.collapsed, found.reason
        assert found.window[1] <= 0.5
        assert np.abs((found.parameters - EXACT) / found.errors).max() < 4.0


@pytest.mark.parametrize("stretched, collapsed", [(0.0, True), (0.03, False), (-0.03, False)])
def test_a_wrong_exponent_does_not_collapse_in_any_window(stretched, collapsed):
    """One size with its temperatures off by 3 %: 1/nu of the pairs of sizes differs by 0.09."""
    rng = np.random.default_rng(12)
    for _ in range(2):
        whole, *narrower = _smooth(rng, second=0.0, stretched=stretched)
        assert fss.collapse(whole, (T_C, 1.0), OMEGA, tuple(narrower)).collapsed == collapsed


def test_scaled_points_lie_on_the_master_curves():
    data = _points(np.random.default_rng(8), relative=1e-4, correction=0.6, bend=-0.7)
    found = fss.collapse(data, (T_C, 1.0), OMEGA)
    for d in data:
        if d.size not in found.sizes:
            continue
        y = np.stack([d.y_ot[0], np.exp(d.y_ot[1]), np.exp(d.y_ot[2])])
        scaled = found.scaled(d.size, d.temperatures_t, y)
        assert scaled == pytest.approx(found.master(found.x(d.size, d.temperatures_t)), rel=1e-3)


# --- barriers -------------------------------------------------------------------------------------


def test_barrier_of_exact_curie_weiss_weights_is_the_exact_one():
    for N in (60, 100):
        m = (2.0 * np.arange(N + 1) - N) / N
        log_g = curie_weiss.log_weights(N, 1e9, J3=0.0)[1]
        energy = N * curie_weiss.energy_per_spin(m, J3=1.0)
        order = np.argsort(energy)
        joint = np.full((N + 1, N + 1), np.nan)
        joint[np.arange(N + 1), order] = log_g[order]
        found = fss.size_barrier(energy[order], m, joint, np.stack([joint] * 3), (1.3, 1.7))
        exact = curie_weiss.finite_coexistence(N, J3=1.0)
        assert found.coexistence.temperature_equal_height == pytest.approx(exact.temperature)
        assert found.height == pytest.approx(exact.barrier.from_low)


def test_teeth_of_a_small_lattice_are_no_barrier():
    """Potts q = 10, L = 4: every level a column has a barrier that is one of single sites."""
    energy, g = potts.density_of_states(10, 4)
    log_g = np.array([math.log(n) for n in g])
    card = cards.load("potts-2d-q10", {"L": 4})
    width = _flip_energy(card)
    assert width == 4.0
    heights = []
    for w in (0.0, width):
        columns, joint = fss.energy_columns(energy, log_g, w)
        found = fss.size_barrier(energy, columns, joint, np.stack([joint] * 3), (0.65, 0.9))
        heights.append(found.height)
    assert heights[0] > 1.7 and heights[1] < 0.5
    columns, joint = fss.energy_columns(energy, log_g, width)
    assert len(columns) == 9 and np.isfinite(joint).sum() == len(energy)


def test_ising_energies_have_one_peak(tmp_path):
    energy, g = ising.density_of_states(8)
    columns, joint = fss.energy_columns(energy, np.log(g.astype(float)), 8.0)
    noise = np.random.default_rng(1).normal(0.0, 0.01, (4, *joint.shape))
    found = fss.size_barrier(energy, columns, joint, joint + noise, (2.1, 2.6))
    assert found.height == 0.0 and found.error > 0.0 and not found.coexistence.found


@pytest.mark.parametrize("heights, label", [
    ([1.0, 1.5, 2.0, 2.5], "first-order"),
    ([1.0, 1.5, 1.1, 2.5], "undecided"),
    ([0.5, 0.51, 0.5, 0.51], "undecided"),
    ([0.0, 0.0, 0.0, 0.0], "undecided"),  # a crossover has no barrier either
    ([1.0, 1.4, math.nan, math.nan], "undecided"),
])
def test_verdict_follows_its_rule(heights, label):
    area, error = np.array([8.0, 12.0, 16.0, 20.0]), np.full(4, 0.04)
    order = order_of_transition(area**2, area, np.array(heights), error, None, 2)
    assert order.label == label and order.reason


def test_verdict_hears_the_collapse():
    found = fss.collapse(_points(np.random.default_rng(9)), (T_C, 1.0), OMEGA)
    none = np.array([])
    assert order_of_transition(none, none, none, none, found, 2).label == "continuous"
    assert order_of_transition(none, none, none, none, None, 2).label == "undecided"
    fast = dataclasses.replace(found, parameters=np.array([T_C, 2.0, 0.1, 1.8]))  # 1/nu = d
    assert order_of_transition(none, none, none, none, fast, 2).label == "undecided"
    area, zero = np.array([4.0, 6.0, 8.0]), np.zeros(3)
    assert order_of_transition(area**2, area, zero, zero + 0.01, found, 2).label == "continuous"
    assert order_of_transition(area**2, area, zero, zero + 0.01, fast, 2).label == "undecided"


def test_exact_critical_points():
    point = critical_point("ising-2d", cards.load("ising-2d").parameters)
    assert tuple(point)[:4] == pytest.approx((T_C, 1.0, 0.125, 1.75))
    colours = {2: (1.0, 0.125), 3: (1.2, 2 / 15), 4: (1.5, 0.125)}
    for q, (inverse_nu, beta_nu) in colours.items():
        point = critical_point("potts-2d", cards.load("potts-2d-q10", {"q": q}).parameters)
        assert (point.inverse_nu, point.beta_nu) == pytest.approx((inverse_nu, beta_nu))
        assert 2 * point.beta_nu + point.gamma_nu == pytest.approx(2.0)  # hyperscaling
    assert critical_point("potts-2d", cards.load("potts-2d-q10").parameters) is None
    assert critical_point("ising-2d", cards.load("ising-2d", {"h": 0.1}).parameters) is None


# --- runs -----------------------------------------------------------------------------------------


def _card(L, **settings):
    keys = {f"finite_size.{k}": v for k, v in settings.items()}
    return cards.load("ising-2d", {"L": L} | keys)


def _run(card, seed=1, cut=()):
    """A protocol of one point, driven in pieces that end at ``cut``; its groups."""
    jobs = []

    class OneJob:
        def __init__(self):
            self.card = card

        def drive(self, protocol):
            state = protocol.init(seed)
            for n in cut:
                protocol.advance(state, n)
                state = protocol.restore({f.name: getattr(state, f.name)
                                          for f in dataclasses.fields(state)})
            protocol.advance(state, protocol.total())
            return state

        def finish(self, groups):
            jobs.append(groups)

    finite_size_sample(OneJob())
    return jobs[0]


def test_series_are_the_same_in_pieces_and_agree_with_enumeration(exact_weights):
    card = _card(4, temperatures="2.2, 2.5", sweeps=2500, equilibration=203, replicas=64)
    whole, pieces = _run(card), _run(card, cut=(7, 300, 111))
    for name in ("energy", "order_parameter"):
        assert np.array_equal(whole["series"][name], pieces["series"][name])
    data = _size_of_run(whole, card)
    found = fss.curves(data, [2.2, 2.35, 2.5])
    for name in fss.CURVES:
        value, error = found.mean_and_error(name)
        expected = np.array([_exact(exact_weights, 4, T)[name] for T in found.temperatures_t])
        assert np.abs((value - expected) / error).max() < 4.0
        assert (error / np.abs(expected)).max() < 0.04
    # what the series say and what the sums over blocks say is the same
    assert whole["series"]["energy"].mean(axis=(1, 2), dtype=float) / 16 == pytest.approx(
        whole["averages"]["energy"], rel=1e-12)


def test_windows_are_about_the_crossing_and_narrow_with_size(exact_weights):
    card = _card(4, temperatures="2.1:2.6:4", sweeps=3000, equilibration=200, replicas=32,
                 sizes=[4, 6, 12])
    pilots = [_run(cards.from_text(card.text, card.folder, {"parameters.L": n})) for n in (4, 6)]
    windows = finite_size_windows(card, pilots)
    exact = optimize.brentq(lambda T: _exact(exact_weights, 4, T)["binder"]
                            - _exact(exact_weights, 6, T)["binder"], 2.0, 2.8)
    spans = []
    for text in windows.values():
        T = temperature_grid(text)
        assert T.mean() == pytest.approx(exact, rel=0.02)
        spans.append(np.ptp(T))
    assert spans == pytest.approx([spans[0], spans[0] * 4 / 6, spans[0] * 4 / 12], rel=1e-6)
    away = cards.from_text(card.text, card.folder, {"finite_size.temperatures": "4.0:4.4:3"})
    hot = [_run(cards.from_text(away.text, card.folder, {"parameters.L": n})) for n in (4, 6)]
    with pytest.raises(InputError, match="do not cross"):
        finite_size_windows(away, hot)


def test_script_gives_one_file_a_point_and_a_verdict(call, no_figures, tmp_path):
    """A small scan from card to verdict, then again from its files; the figure is drawn."""
    settings = {"sizes": "[4, 6, 9]", "sweeps": 1500, "equilibration": 200, "replicas": 32,
                "temperatures": '"2.1:2.6:4"', "barrier_sizes": "[4, 5, 6]",
                "barrier_sweeps": 4000}
    options = [x for k, v in settings.items() for x in ("--set", f"finite_size.{k}={v}")]
    run = call("finite_size", "ising-2d", "--out", tmp_path / "fss", *options)
    assert run.code == 0, run.err
    assert "gamma/nu" in run.out and "barrier" in run.out
    found = runfile.read(next((tmp_path / "fss").rglob("scan.h5")))
    assert len(found["crossings"]["pair"]) == 2
    z = (found["exponents"]["inverse_nu"] - 1.0) / found["exponents"]["inverse_nu_err"]
    assert abs(z) < 4.0 and found["exponents"]["inverse_nu_err"] < 0.2
    assert found["finite_size"].attributes["order"] in ("continuous", "undecided")
    assert found["barriers"]["barrier"].tolist() == [0.0, 0.0, 0.0]
    from phasegrok import figures

    assert len(figures.draw(found, tmp_path).subfigs) == 3


@pytest.mark.slow
def test_errors_of_exponents_are_calibrated_over_seeds():
    """2D Ising, L = 8 ... 32: z against the exact values over independent runs has rms near 1.

    All collapse; none does when the temperatures of L = 16 are off by 5 %.
    """
    card = _card(8, sizes=[8, 16, 32], sweeps=1800, equilibration=300, replicas=32)
    T = [T_C + n * 0.75 * T_C / 8 for n in (-2, -1, 0, 1, 2)]
    z = []
    for seed in range(12):
        data = []
        for L in (8, 16, 32):
            text = ", ".join(f"{T_C + (t - T_C) * 8 / L:.8f}" for t in T)
            sized = cards.from_text(card.text, card.folder, {
                "parameters.L": L, "finite_size.temperatures": text})
            data.append(_size_of_run(_run(sized, seed=100 * seed + L), sized))
        whole, *narrower = ([fss.points(fss.curves(d, d.inner(5, share))) for d in data]
                            for share in fss.SHARES)
        found = fss.collapse(whole, (T_C, 1.0), OMEGA, tuple(narrower))
        assert found.collapsed, found.reason
        wrong = [[points[0], dataclasses.replace(points[1], temperatures_t=T_C + 1.05 * (
            points[1].temperatures_t - T_C)), points[2]] for points in (whole, *narrower)]
        assert not fss.collapse(wrong[0], (T_C, 1.0), OMEGA, tuple(wrong[1:])).collapsed
        limits = fss.limits(fss.crossings(data), OMEGA)
        crossed = [limits[name] for name in ("temperature", "inverse_nu", "beta_nu", "gamma_nu")]
        z.append([*((found.parameters - EXACT) / found.errors),
                  *((x.value - e) / x.error for x, e in zip(crossed, EXACT))])
    rms = np.sqrt((np.array(z) ** 2).mean(axis=0))
    assert 0.7 < np.sqrt((rms**2).mean()) < 1.3, rms
    assert rms.max() < 1.7, rms


@pytest.mark.slow
def test_barrier_of_potts_spins_is_that_of_wang_landau_and_of_clusters():
    """Potts q = 10, L = 8: two samplers that have nothing in common."""
    heights = []
    for landscape, sweeps in (("wang-landau", 200_000), ("canonical", 10_000)):
        card = cards.load("potts-2d-q10", {
            "finite_size.landscape": landscape, "finite_size.barrier_sweeps": sweeps})
        protocol = (wang_landau(card, sweeps) if landscape == "wang-landau"
                    else protocols._series(card, card.model.finite_size, sweeps, sweeps // 10,
                                           exchange=True))
        state = protocol.init(3)
        while protocol.done(state) < protocol.total():
            protocol.advance(state, 2000)
        run = runfile.RunFile({}, protocol.result(state))
        _, found, complete, reason = _landscape_of(run, card)
        assert complete, reason
        heights.append((found.height, found.error))
    (a, a_err), (b, b_err) = heights
    assert abs(a - b) < 3.0 * math.hypot(a_err, b_err)
    assert a == pytest.approx(0.89, abs=0.1)


@pytest.mark.parametrize("override, message", [
    ({"finite_size.sizes": [16, 8, 32]}, "ascending"),
    ({"finite_size.temperatures": "2.2"}, "two temperatures"),
    ({"finite_size.equilibration": 9_999}, "leaves too little"),
    ({"finite_size.replicas": 31}, "even number"),
    ({"finite_size.landscape": "canonical", "finite_size.coordinate": "order-parameter"},
     "wang-landau"),
])
def test_bad_settings_are_refused_in_one_sentence(override, message):
    with pytest.raises(InputError, match=message):
        finite_size_settings(cards.load("ising-2d", override))
    with pytest.raises(InputError, match="needs \\[finite_size\\]"):
        finite_size_settings(cards.load("glauber-chain"))


def test_sampled_barriers_of_curie_weiss_against_exact_weights(call, no_figures, tmp_path):
    ended = call("finite_size", "curie-weiss-p3", "--quick", "--out", tmp_path / "cw",
                 "--set", "finite_size.barrier_sizes=[20,30,40]",
                 "--set", "finite_size.barrier_sweeps=10000")
    assert ended.code == 0, ended.err
    group = runfile.read(tmp_path / "cw" / "scan.h5")["barriers"]
    z = (group["barrier"] - group["exact_barrier"]) / group["barrier_err"]
    assert np.abs(z).max() < 4.0
    assert (group["barrier_err"] / group["exact_barrier"]).max() < 0.03
    assert group["exact_barrier"][1] == pytest.approx(
        curie_weiss.finite_coexistence(30, 0.0, 0.0, 1.0).barrier.from_low)
