"""Finite-size scaling of runs: windows, scripts, and errors of exponents over seeds."""

import dataclasses
import math

import numpy as np
import pytest
from exact_samples import ising_averages
from scipy.optimize import brentq

from phasegrok import cards
from phasegrok.cards.values import temperature_grid
from phasegrok.run import runfile
from phasegrok.studies.density_of_states import density_of_states
from phasegrok.studies.finite_size import (
    finite_size_sample,
    finite_size_settings,
    finite_size_windows,
    flip_energy,
    landscape_of,
    size_of_run,
)
from phasegrok.studies.sampling import series_protocol
from phasegrok.theory import curie_weiss, ising
from phasegrok.theory.solved import critical_point
from phasegrok.thermodynamics.collapse import SHARES, collapse, inner, points
from phasegrok.thermodynamics.crossings import crossings, limits
from phasegrok.thermodynamics.curves import curves

T_C = ising.critical_temperature()
OMEGA = 1.75
EXACT = np.array([T_C, 1.0, 0.125, 1.75])


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


def test_series_are_the_same_in_pieces_and_agree_with_enumeration():
    card = _card(4, temperatures="2.2, 2.5", sweeps=2500, equilibration=203, replicas=64)
    whole, pieces = _run(card), _run(card, cut=(7, 300, 111))
    for name in ("energy", "order_parameter"):
        assert np.array_equal(whole["series"][name], pieces["series"][name])
    data = size_of_run(whole, card)
    found = curves(data, [2.2, 2.35, 2.5])
    for name in ising_averages(4, 2.2):
        value, error = found.mean_and_error(name)
        expected = np.array([ising_averages(4, T)[name] for T in found.temperatures_t])
        assert np.abs((value - expected) / error).max() < 4.0
        assert (error / np.abs(expected)).max() < 0.04
    # what the series say and what the sums over blocks say is the same
    assert whole["series"]["energy"].mean(axis=(1, 2), dtype=float) / 16 == pytest.approx(
        whole["averages"]["energy"], rel=1e-12)


def test_windows_are_about_the_crossing_and_narrow_with_size():
    card = _card(4, temperatures="2.1:2.6:4", sweeps=3000, equilibration=200, replicas=32,
                 sizes=[4, 6, 12])
    pilots = [_run(cards.from_text(card.text, card.folder, {"parameters.L": n})) for n in (4, 6)]
    windows = finite_size_windows(card, pilots)
    exact = brentq(lambda T: ising_averages(4, T)["binder"]
                            - ising_averages(6, T)["binder"], 2.0, 2.8)
    spans = []
    for text in windows.values():
        T = temperature_grid(text)
        assert T.mean() == pytest.approx(exact, rel=0.02)
        spans.append(np.ptp(T))
    assert spans == pytest.approx([spans[0], spans[0] * 4 / 6, spans[0] * 4 / 12], rel=1e-6)
    away = cards.from_text(card.text, card.folder, {"finite_size.temperatures": "4.0:4.4:3"})
    hot = [_run(cards.from_text(away.text, card.folder, {"parameters.L": n})) for n in (4, 6)]
    with pytest.raises(cards.InputError, match="do not cross"):
        finite_size_windows(away, hot)


def test_script_gives_one_file_a_point_and_a_verdict(call, no_figures, tmp_path):
    """A small scan from card to verdict, then again from its files; the figure is drawn."""
    settings = {"sizes": "[4, 6, 9]", "sweeps": 1500, "equilibration": 200, "replicas": 32,
                "temperatures": '"2.1:2.6:4"', "barrier_sizes": "[4, 5, 6]",
                "barrier_sweeps": 20000}
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
            data.append(size_of_run(_run(sized, seed=100 * seed + L), sized))
        whole, *narrower = ([points(curves(d, inner(d, 5, share))) for d in data]
                            for share in SHARES)
        found = collapse(whole, (T_C, 1.0), OMEGA, tuple(narrower))
        assert found.collapsed, found.reason
        wrong = [[small, dataclasses.replace(middle, temperatures_t=T_C + 1.05 * (
            middle.temperatures_t - T_C)), large] for small, middle, large in (whole, *narrower)]
        assert not collapse(wrong[0], (T_C, 1.0), OMEGA, tuple(wrong[1:])).collapsed
        limit = limits(crossings(data), OMEGA)
        crossed = [limit[name] for name in ("temperature", "inverse_nu", "beta_nu", "gamma_nu")]
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
        protocol = (density_of_states(card, sweeps) if landscape == "wang-landau" else
                    series_protocol(card, card.model.finite_size, sweeps, sweeps // 10,
                                    exchange=True))
        state = protocol.init(3)
        while protocol.done(state) < protocol.total():
            protocol.advance(state, 2000)
        run = runfile.RunFile({}, protocol.result(state))
        _, found, complete, reason = landscape_of(run, card)
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
    with pytest.raises(cards.InputError, match=message):
        finite_size_settings(cards.load("ising-2d", override))
    with pytest.raises(cards.InputError, match="needs \\[finite_size\\]"):
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


def test_energy_of_a_flipped_site():
    assert flip_energy(cards.load("potts-2d-q10", {"L": 4})) == 4.0
