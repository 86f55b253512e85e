"""Waiting times of clones against exact first-passage times, and against naive simulations.

An Euler-Maruyama path that is looked at every dt misses crossings in between: it waits as if the
level were further away by 0.5826 sqrt(2 T dt) (0.5826 = -zeta(1/2)/sqrt(2 pi); Broadie, Glasserman
and Kou, Math. Finance 7 (1997) 325; Siegmund, Sequential Analysis (1985), ch. X).
"""

import math

import numpy as np
import pytest
from driving import drive
from scipy import stats

from phasegrok import cards, compiled
from phasegrok.cards.kinds import parameters_class
from phasegrok.compiled import kernel
from phasegrok.dynamics.single_flip import DYNAMICS, new_value, sweeps
from phasegrok.protocols import clones
from phasegrok.protocols.clones import DiscreteClones, OverdampedClones
from phasegrok.rng import below, normal_pair
from phasegrok.studies import waiting_times as studies
from phasegrok.systems import discrete
from phasegrok.theory import first_passage

MISSED = 0.5826  # levels move away by this times sqrt(2 T dt)


def build(kind, **parameters):
    """System of a kind."""
    model = parameters_class(kind)(**parameters)
    return model.build(model.disorder(None))


def waits(protocol, seed=1, block=10**6):
    """Group ``waiting_times`` of a finished run."""
    return protocol.result(drive(protocol, seed, block))["waiting_times"]


def z_of_mean(times, exact):
    """(mean - exact) in standard errors."""
    return (times.mean() - exact) / (times.std(ddof=1) / math.sqrt(len(times)))


# --- Curie-Weiss: mean, spread and law of the first passage --------------------------------------


def check_curie_weiss(N, temperature, dynamics, n_clones, seed):
    """Mean, second moment and distribution of the waiting times against the exact chain."""
    system = build("curie-weiss", N=N, J3=1.0)
    protocol = DiscreteClones(system, temperature, n_clones, 0.9, 0.0, 1e7, dynamics, 0.0)
    group = waits(protocol, seed)
    times = group["time"]
    exact = first_passage.curie_weiss_first_passage(N, temperature, 0.0, 0.9, dynamics, J3=1.0)
    assert not group["censored"].any()
    assert abs(z_of_mean(times, exact.mean)) < 4.0
    assert abs(z_of_mean(times**2, exact.second_moment)) < 4.0
    # Kolmogorov-Smirnov on a grid of quantiles: not larger than on all points, so conservative
    grid = np.quantile(times, np.linspace(0.0, 1.0, 201))[:-1]
    survival = first_passage.curie_weiss_survival(N, temperature, 0.0, 0.9, grid, dynamics, J3=1.0)
    counted = (times[None, :] > grid[:, None] + 0.5 / N).mean(axis=1)
    distance = np.abs(counted - survival).max()
    assert stats.kstwo.sf(distance, n_clones) > 1e-3
    final = np.round(group["final_order_parameter"] * N)
    assert np.all(final == 2 * math.ceil(0.95 * N - 1e-9) - N)
    return times, exact


def test_the_time_back_from_a_fluctuation_is_the_exact_one():
    """51 free spins: from M = 27 to the mean, which lies between M = -1 and 1."""
    system = build("curie-weiss", N=51)
    protocol = DiscreteClones(system, 1.0, 4000, 27 / 51, 0.0, 1e7, start=-1 / 51, after=1000.0)
    group = waits(protocol, 5)
    back = group["return"]
    assert np.isfinite(back).all()
    exact = first_passage.curie_weiss_first_passage(51, 1.0, 27 / 51, -1 / 51)
    assert abs(z_of_mean(back, exact.mean)) < 3.5
    assert back.mean() == pytest.approx(exact.mean, rel=0.03)
    # in equilibrium the way back is the way there, seen backwards, and what is beyond the event
    assert (back < 10.0 * group["transit"]).mean() > 0.9
    assert np.allclose(group["final_order_parameter"], 27 / 51)


def test_clones_are_watched_after_the_event_and_their_waits_are_as_without():
    """A drift never comes back; times, transits and what is said of the event stay as they are."""
    system = build("overdamped-1d", c0=1.0, start=0.0)
    plain = waits(OverdampedClones(system, 0.01, 20, 1.0, 0.0, 100.0))
    watched = waits(OverdampedClones(system, 0.01, 20, 1.0, 0.0, 100.0, after=10.0))
    for name in ("time", "transit", "plateau_mean", "final_order_parameter"):
        assert np.array_equal(plain[name], watched[name]), name
    assert np.isnan(watched["return"]).all() and "return" not in plain


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_curie_weiss_first_passage_of_the_card_s_size(dynamics):
    check_curie_weiss(100, 1.2, dynamics, 2000, 1)


def test_curie_weiss_first_passage_to_better_than_one_percent():
    _, exact = check_curie_weiss(50, 1.2, "heat-bath", 20_000, 2)
    assert exact.standard_deviation / math.sqrt(20_000) < 0.0075 * exact.mean  # 4 errors see 3 %


@pytest.mark.slow
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_curie_weiss_first_passage_of_two_hundred_spins(dynamics):
    check_curie_weiss(200, 1.2, dynamics, 2000, 3)


@pytest.mark.slow
def test_curie_weiss_first_passage_of_a_hundred_spins_to_one_percent():
    check_curie_weiss(100, 1.2, "heat-bath", 20_000, 4)


def test_censored_share_is_the_survival_probability():
    N, limit, n = 100, 100.0, 4000
    system = build("curie-weiss", N=N, J3=1.0)
    group = waits(DiscreteClones(system, 1.2, n, 0.9, 0.0, limit, "heat-bath", 0.0), 5)
    censored = group["censored"].astype(bool)
    p = first_passage.curie_weiss_survival(N, 1.2, 0.0, 0.9, [limit], J3=1.0)[0]
    assert abs(censored.mean() - p) < 4.0 * math.sqrt(p * (1.0 - p) / n)
    assert np.all(group["time"][censored] == limit)
    assert np.all(group["time"][~censored] <= limit)
    assert np.all(np.isnan(group["transit"][censored]))
    assert group.attributes["ended"] == n and group.attributes["limit"] == limit


def test_curie_weiss_without_noise_takes_the_time_of_its_downhill_moves():
    """At T = 0 only moves upward in m are downhill: a sum of geometric times, known exactly."""
    N, n = 50, 20_000
    system = build("curie-weiss", N=N, J3=1.0)
    stop = math.ceil(0.5 * N * 1.9 - 1e-9)
    exact = sum(1.0 / (N - k) for k in range(N // 2, stop))  # N/(N - k) attempts, in sweeps
    for dynamics in DYNAMICS:
        times = waits(DiscreteClones(system, 0.0, n, 0.9, 0.0, 100.0, dynamics, 0.0), 6)["time"]
        assert abs(z_of_mean(times, exact)) < 4.0
        assert times.std() / math.sqrt(n) < 0.005 * exact


# --- overdamped systems --------------------------------------------------------------------------


def overdamped(**parameters):
    """An overdamped system."""
    return build("overdamped-1d", **parameters)


def shifted(level, temperature, dt):
    """The level that a path looked at every dt seems to wait for."""
    return level + MISSED * math.sqrt(2.0 * temperature * dt)


def double_well(x):
    """Force of U = x^4/4 - x^2/2."""
    return x - x**3


@pytest.mark.parametrize("temperature", [1e-4, 1e-3])
def test_drift_control(temperature):
    card = cards.load("control-drift")
    group = waits(studies.clones(card, temperature, 4000), 1)
    level = shifted(-math.exp(-1.0), temperature, 1e-3)
    # Euler-Maruyama decays as (1 - dt)^n, faster than exp(-t) by half a step a unit of time
    exact = first_passage.diffusion_first_passage(
        lambda x: -x * (1.0 + 0.5e-3), temperature, -1.0, level)
    assert abs(z_of_mean(group["time"], exact)) < 4.0
    assert group["time"].std() / group["time"].mean() < 0.2
    assert abs(group["time"].mean() - 1.0) < 0.01


def test_saddle_control():
    card = cards.load("control-saddle")
    for temperature in (1e-4, 1e-2):
        group = waits(studies.clones(card, temperature, 4000), 2)
        level = shifted(0.5, temperature, 1e-3)
        exact = first_passage.diffusion_first_passage(double_well, temperature, 0.0, level, 0.0)
        times = group["time"]
        assert abs(z_of_mean(times, exact)) < 4.0
        assert times.std() / math.sqrt(4000) < 0.0075 * exact  # 4 errors see 3 %
        assert np.all(group["final_order_parameter"] >= 0.5)


CARD = """
name = "double-well"
title = "Escape from a well"
kind = "overdamped-1d"
reference = "doi:10.1103/RevModPhys.62.251"

[parameters]
c1 = 1.0
c3 = -1.0
start = -1.0
dt = {dt}

[observables]
energy = "x^4/4 - x^2/2"
order_parameter = "x"

[event]
observable = "x"
threshold = {threshold}
hold = {hold}

[waiting_times]
temperatures = [{temperature}]
clones = {clones}
limit = {limit}
"""


def well_card(folder, temperature=0.15, threshold=0.0, hold=0.0, dt=2e-3, clones=20_000,
              limit=1e4):
    """A card of the double well, read from a file."""
    path = folder / "double-well.toml"
    path.write_text(CARD.format(**{k: v for k, v in locals().items() if k != "folder"}))
    return cards.load(str(path))


def test_double_well_waits_for_the_shifted_level(tmp_path):
    """At the top of the barrier the time between looks matters by 6 %, and is accounted for."""
    temperature, dt = 0.15, 8e-3
    times = waits(studies.clones(well_card(tmp_path, temperature, dt=dt)), 3)["time"]
    naive = first_passage.diffusion_first_passage(double_well, temperature, -1.0, 0.0)
    level = shifted(0.0, temperature, dt)
    exact = first_passage.diffusion_first_passage(double_well, temperature, -1.0, level)
    assert exact / naive - 1.0 > 0.06
    assert abs(z_of_mean(times, exact)) < 3.5
    assert z_of_mean(times, naive) > 5.0


@pytest.mark.slow
@pytest.mark.parametrize("temperature, threshold, dt", [
    (0.1, 0.5, 2e-3), (0.2, 1.0, 2e-3), (0.15, 0.0, 5e-4), (0.3, 0.0, 2e-3)])
def test_double_well_at_other_levels_temperatures_and_steps(tmp_path, temperature, threshold, dt):
    card = well_card(tmp_path, temperature, threshold, dt=dt)
    times = waits(studies.clones(card), 4)["time"]
    level = shifted(threshold, temperature, dt)
    exact = first_passage.diffusion_first_passage(double_well, temperature, -1.0, level)
    assert abs(z_of_mean(times, exact)) < 4.0
    assert times.std() / math.sqrt(20_000) < 0.0075 * exact


def test_overdamped_without_noise_is_the_euler_polygon():
    drift = studies.clones(cards.load("control-drift"), 0.0, 3)
    steps = math.ceil(-1.0 / math.log1p(-1e-3))
    assert waits(drift)["time"] == pytest.approx(np.full(3, steps * 1e-3), abs=1e-12)
    exact = first_passage.drift_crossing_time(lambda x: -x, -1.0, -math.exp(-1.0))
    assert abs(steps * 1e-3 - exact) < 2e-3
    saddle = waits(studies.clones(cards.load("control-saddle"), 0.0, 1))
    assert saddle["censored"].all() and saddle["time"] == pytest.approx([200.0])
    assert saddle["final_order_parameter"] == pytest.approx([0.0])


def test_force_of_all_coefficients_and_folding():
    system = overdamped(c0=0.3, c1=-0.2, c2=0.7, c3=-1.1, start=-0.5, order_parameter="abs_x",
                        dt=0.01)
    group = waits(OverdampedClones(system, 0.0, 1, 1e9, 0.0, 2.0))
    x, path = -0.5, []
    for _ in range(200):
        x += (0.3 - 0.2 * x + 0.7 * x**2 - 1.1 * x**3) * 0.01
        path.append(abs(x))
    assert group["path"][0, :200] == pytest.approx(path, rel=1e-12)
    assert system.force(0.4) == pytest.approx(0.3 - 0.08 + 0.7 * 0.16 - 1.1 * 0.064)
    assert group.attributes["start_order_parameter"] == 0.5


def test_stationary_variance_of_the_harmonic_well_has_the_bias_of_its_step():
    """x^2 averages T/(1 - dt/2) under Euler-Maruyama of dx = -x dt + sqrt(2T) dW."""
    dt, temperature = 0.2, 0.5
    system = overdamped(c1=-1.0, start=0.0, dt=dt)
    state = drive(OverdampedClones(system, temperature, 1000, 1e9, 0.0, 400.0), 5)
    n, first, second = state.moments.T[:3]
    exact = temperature / (1.0 - 0.5 * dt)
    mean = second / n  # of each clone, 2000 steps with correlation time 1/dt/2
    assert abs(z_of_mean(mean, exact)) < 4.0
    assert mean.std() / math.sqrt(1000) < 0.0075 * exact
    assert abs(z_of_mean(first / n, 0.0)) < 4.0


# --- against naive simulations, step by step -----------------------------------------------------


def naive_event(phi_t, start, threshold, hold, limit, per_unit):
    """(time, censored, transit, plateau) in steps, from the whole series phi_1, phi_2, ...

    The event is the first entry to phi >= threshold that lasts for ``hold`` steps or more.  The
    plateau holds phi at the ends of units of time outside of the threshold; the transit is the time
    since phi last left the mean of the plateau so far, or a lower value.
    """
    phi_t = np.concatenate([[start], phi_t])
    inside = phi_t >= threshold
    t = 0
    while t <= limit:
        if inside[t]:
            end = t + int(np.argmin(inside[t:]))
            if inside[end]:
                assert len(phi_t) - t > hold, "the series is too short"
                end = len(phi_t)
            if end - t >= hold:
                break
            t = end
        t += 1
    else:
        return None, True, None, None
    ends = np.arange(per_unit, len(phi_t), per_unit)
    ends = ends[(ends < t) & ~inside[ends]]
    left = 0
    for step in range(1, t + 1):
        if phi_t[step] == phi_t[step - 1]:
            continue
        before = phi_t[ends[ends <= (step - 1) // per_unit * per_unit]]
        home = before.mean() if len(before) else start
        if phi_t[step - 1] <= home + 1e-9:
            left = step
    return t, False, t - left, phi_t[ends]


def check_plateau(group, k, plateau):
    """Mean and spread of Phi before the event, of one clone."""
    if len(plateau):
        assert group["plateau_mean"][k] == pytest.approx(plateau.mean(), abs=1e-9)
        assert group["plateau_std"][k] == pytest.approx(plateau.std(), abs=1e-6)
    else:
        assert np.isnan(group["plateau_mean"][k])


@kernel
def every_update(system, heat_bath, temperature, sigma, cache, rng, phi, phi_t):
    """Phi after each attempted update."""
    n = sigma.shape[0]
    for t in range(phi_t.shape[0]):
        site = below(rng, n)
        value, _ = new_value(system, heat_bath, temperature, sigma, cache, site, rng)
        if value != sigma[site]:
            phi += discrete.order_change(system, sigma, cache, site, value)
            discrete.assign(system, sigma, cache, site, value)
        phi_t[t] = phi


@pytest.mark.parametrize("hold", [0.0, 0.5, 3.0, 10.0])
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_lattice_event_with_hold_against_a_naive_search(dynamics, hold):
    """A small lattice near T_c crosses and returns again and again: every rule is exercised."""
    system = build("ising-2d", L=4)
    limit, threshold, n = 60.0, 0.5, 200
    protocol = DiscreteClones(system, 2.6, n, threshold, hold, limit, dynamics, -0.5)
    start = protocol.init(8)
    state = drive(protocol, 8, block=7)
    group = protocol.result(state)["waiting_times"]
    n_crossed = 0
    for k in range(n):
        phi_t = np.zeros(16 * 400)
        every_update(system, bool(DYNAMICS[dynamics]), 2.6, start.sigma[k], start.cache[k],
                     start.rng[k], start.values[k, 1], phi_t)
        time, censored, transit, plateau = naive_event(phi_t, -8.0, 8.0, 16 * hold, 16 * limit, 16)
        assert bool(group["censored"][k]) == censored
        if censored:
            assert group["time"][k] >= limit
            continue
        n_crossed += 1
        assert group["time"][k] == time / 16.0
        assert group["transit"][k] == transit / 16.0
        check_plateau(group, k, plateau)
        if hold == 0.0:
            assert group["final_order_parameter"][k] == phi_t[time - 1] >= 8.0
    assert n_crossed > 20


@kernel
def every_step(system, temperature, x, rng, x_t):
    """Positions after each time step."""
    second = 0.0
    for t in range(x_t.shape[0]):
        if t % 2 == 0:
            noise, second = normal_pair(rng)
        else:
            noise = second
        x += (x - x**3) * system.dt + np.sqrt(2.0 * temperature * system.dt) * noise
        x_t[t] = x


@pytest.mark.parametrize("hold", [0.0, 0.3, 1.0])
def test_diffusion_event_with_hold_against_a_naive_search(tmp_path, hold):
    card = well_card(tmp_path, 0.3, 0.8, hold, dt=0.01, clones=60, limit=20)
    protocol = studies.clones(card)
    start = protocol.init(9)
    group = protocol.result(drive(protocol, 9, block=3))["waiting_times"]
    n_censored = 0
    for k in range(60):
        x_t = np.zeros(5000)
        every_step(protocol.system, 0.3, -1.0, start.rng[k], x_t)
        time, censored, transit, plateau = naive_event(x_t, -1.0, 0.8 - 1e-9, round(hold / 0.01),
                                                       2000, 1)
        assert bool(group["censored"][k]) == censored
        n_censored += censored
        if not censored:
            assert group["time"][k] == pytest.approx(time * 0.01, abs=1e-9)
            assert group["transit"][k] == pytest.approx(transit * 0.01, abs=1e-9)
            check_plateau(group, k, plateau)
    assert 5 < n_censored < 55


def test_an_event_that_holds_at_the_start_takes_no_time():
    system = build("curie-weiss", N=50, J3=1.0)
    group = waits(DiscreteClones(system, 0.2, 10, 0.5, 2.0, 100.0, "heat-bath", 1.0))
    assert not group["censored"].any() and np.all(group["time"] == 0.0)
    assert np.all(group["transit"] == 0.0)


# --- paths ---------------------------------------------------------------------------------------


def test_paths_keep_every_stride_th_sweep_of_the_very_path():
    """1000 sweeps in 400 points: the stride has doubled twice, and the points are the path's."""
    system = build("potts-2d", L=4, q=3)
    protocol = DiscreteClones(system, 1.0, 8, 2.0, 0.0, 1000.0, "heat-bath")
    start = protocol.init(10)
    group = protocol.result(drive(protocol, 10, block=37))["waiting_times"]
    assert group["path"].shape == (6, 400)
    for k in range(6):
        energy_t, phi_t = np.zeros(1000), np.zeros(1000)
        sweeps(system, True, 1.0, 1000, start.sigma[k], start.cache[k], start.values[k],
               start.rng[k], energy_t, phi_t)
        spacing = group["path_spacing"][k]
        assert spacing == 4.0
        points = np.isfinite(group["path"][k])
        assert points.sum() == 250 and points[:250].all()
        assert group["path"][k][:250] == pytest.approx(phi_t[3::4], abs=1e-12)


@pytest.mark.parametrize("n_units, stride", [(399, 1), (400, 1), (401, 2), (800, 2), (802, 4)])
def test_the_stride_doubles_when_the_room_is_full(n_units, stride):
    system = overdamped(c1=-0.001, start=1.0, dt=0.5)
    group = waits(OverdampedClones(system, 0.0, 1, 1e9, 0.0, 0.5 * n_units), 1)
    assert group["path_spacing"] == pytest.approx([0.5 * stride])
    steps = stride * (1 + np.arange(n_units // stride))
    assert group["path"][0, : len(steps)] == pytest.approx((1.0 - 0.0005) ** steps, rel=1e-12)
    assert np.isnan(group["path"][0, len(steps) :]).all()


# --- one checkpoint, one noise a clone -----------------------------------------------------------


def test_all_clones_and_temperatures_start_from_one_checkpoint():
    system = build("ising-2d", L=6)
    first = DiscreteClones(system, 2.0, 20, 0.9, 0.0, 10.0, "heat-bath", None, 30, 3.0).init(1)
    hotter = DiscreteClones(system, 4.0, 5, 0.9, 0.0, 10.0, "heat-bath", None, 30, 3.0).init(1)
    assert np.all(first.sigma == first.sigma[0]) and np.all(hotter.sigma == first.sigma[0])
    assert len(np.unique(first.rng, axis=0)) == 20
    assert not np.array_equal(first.rng[:5], hotter.rng)  # noise of its own at each temperature
    exact = discrete.prepare(system, first.sigma[0], np.zeros(1, dtype=np.int64))
    assert np.all(first.values == exact)
    other = DiscreteClones(system, 2.0, 20, 0.9, 0.0, 10.0, "heat-bath", None, 30, 3.0).init(2)
    assert not np.array_equal(other.sigma[0], first.sigma[0])
    unprepared = DiscreteClones(system, 2.0, 20, 0.9, 0.0, 10.0).init(1)
    assert not np.array_equal(unprepared.sigma[0], first.sigma[0])


@pytest.mark.parametrize("start, m", [(-1.0, -36), (0.0, 0), (0.5, 18), (1.0, 36)])
def test_clones_start_at_the_order_parameter_of_the_card(start, m):
    protocol = DiscreteClones(build("ising-2d", L=6), 2.0, 4, 0.9, 0.0, 10.0, "heat-bath", start)
    assert np.all(protocol.init(3).values[:, 1] == m)
    assert protocol.init(3).start_phi == m


def test_preparation_at_zero_sweeps_leaves_the_start_alone():
    protocol = DiscreteClones(build("ising-2d", L=6), 2.0, 4, 0.9, 0.0, 10.0, "heat-bath", -1.0)
    assert np.all(protocol.init(3).sigma == -1)


@pytest.mark.parametrize("family", ["discrete", "overdamped"])
def test_threads_and_blocks_do_not_change_a_bit(monkeypatch, family):
    if family == "discrete":
        protocol = DiscreteClones(build("curie-weiss", N=40, J3=1.0), 1.3, 60, 0.9, 1.0, 200.0,
                                  "heat-bath", 0.0)
    else:
        system = overdamped(c1=1.0, c3=-1.0, start=-1.0, dt=0.01)
        protocol = OverdampedClones(system, 0.2, 60, 0.5, 0.1, 40.0)
    results = []
    for threads, block in ((1, 10**6), (3, 10**6), (3, 11), (1, 1)):
        monkeypatch.setattr(compiled, "n_threads", lambda threads=threads: threads)
        monkeypatch.setattr(clones, "n_threads", lambda threads=threads: threads)
        results.append(drive(protocol, 4, block))
    for other in results[1:]:
        for name in ("sigma", "cache", "values", "rng", "counters", "moments", "trace", "strides"):
            same = np.array_equal(getattr(results[0], name), getattr(other, name),
                                  equal_nan=name in ("values", "moments", "trace"))
            assert same, name


def test_a_checkpoint_goes_on_as_if_nothing_had_happened():
    import dataclasses

    protocol = DiscreteClones(build("curie-weiss", N=40, J3=1.0), 1.3, 30, 0.9, 0.0, 200.0,
                              "heat-bath", 0.0)
    whole = drive(protocol, 4)
    part = protocol.init(4)
    protocol.advance(part, 9)
    saved = {f.name: np.copy(getattr(part, f.name)) if f.name != "start_phi" else part.start_phi
             for f in dataclasses.fields(part)}
    again = protocol.restore(saved)
    while protocol.done(again) < protocol.total():
        protocol.advance(again, 10)
    assert np.array_equal(again.counters, whole.counters)
    assert np.array_equal(again.rng, whole.rng)


@pytest.mark.parametrize("limit", [0.3, 1.0, 7.5])
def test_a_limit_below_or_between_whole_units_of_time_is_reached(limit):
    """Progress counts whole units: a run must neither be skipped nor never end."""
    system = overdamped(start=0.0, dt=0.1)
    protocol = OverdampedClones(system, 0.0, 2, 1.0, 0.0, limit)
    state = protocol.init(1)
    progress = [protocol.done(state)]
    while protocol.done(state) < protocol.total():
        protocol.advance(state, 1)
        progress.append(protocol.done(state))
        assert len(progress) < 20
    assert progress[0] == 0 and np.all(np.diff(progress) >= 0)
    group = protocol.result(state)["waiting_times"]
    assert group["time"] == pytest.approx([limit, limit]) and group["censored"].all()
    lattice = DiscreteClones(build("ising-2d", L=4), 0.1, 2, 0.9, 0.0, limit, "heat-bath", -1.0)
    group = waits(lattice, 1, block=1)
    assert group["censored"].all() and np.all(group["time"] == math.ceil(limit))


def test_memory_covers_the_arrays():
    protocol = DiscreteClones(build("potts-2d", L=10, q=5), 1.0, 100, 0.9, 0.0, 10.0)
    state = protocol.init(1)
    held = sum(getattr(state, name).nbytes
               for name in ("sigma", "cache", "values", "rng", "counters", "moments"))
    assert 0.8 * held < protocol.memory() < 1.5 * held
