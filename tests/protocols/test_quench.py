"""Quenches and ramps against the exact Glauber chain, equilibrium and brute force."""

import itertools
import math

import numpy as np
import pytest

from phasegrok import cards
from phasegrok.cards.kinds import parameters_class
from phasegrok.dynamics.multi_spin import MultiSpin
from phasegrok.dynamics.replicas import SingleFlip
from phasegrok.errors import InputError
from phasegrok.protocols.quench import Quench, Ramp, dependent_replicas, log_times, waiting_times
from phasegrok.statistics import over_samples
from phasegrok.studies.relaxation import relaxation
from phasegrok.theory import glauber
from phasegrok.theory import ising as ising_theory


def build(kind, **parameters):
    """System of a kind."""
    model = parameters_class(kind)(**parameters)
    return model.build(model.disorder(None))


def advanced(protocol, seed=1):
    """State of the whole run."""
    state = protocol.init(seed)
    protocol.advance(state, protocol.total())
    return state


def equal(a, b):
    """Whether two states are equal in every bit."""
    return all(np.array_equal(np.asarray(getattr(a, name)), np.asarray(getattr(b, name)),
                              equal_nan=np.asarray(getattr(a, name)).dtype.kind == "f")
               for name in a.__dataclass_fields__)


# --- quench ---------------------------------------------------------------------------------------


def test_the_temperature_that_was_given():
    """Used on every discrete card, one without [relaxation] too; a ramp has none to use it for."""
    card = cards.load("ising-2d")
    assert card.model.relaxation is None
    protocol = relaxation(card, temperature=1.7)
    assert protocol.temperature == 1.7 and protocol.start is None
    assert relaxation(cards.load("glauber-chain"), temperature=1.7).temperature == 1.7
    with pytest.raises(InputError, match="--temperature T"):
        relaxation(card)
    with pytest.raises(InputError, match="a ramp goes through"):
        relaxation(cards.load("glauber-chain"), ramp=True, temperature=1.7)


def test_times():
    times = log_times(1000)
    assert times[:9].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 10] and np.all(np.diff(times) > 0)
    late = times[times >= 8]
    assert np.all(np.abs(np.log2(late) * 4.0 - np.arange(12, 12 + len(late))) < 0.3)
    assert waiting_times(300).tolist() == [1, 4, 16, 64, 256]
    for last in (1, 2, 17, 64, 999):  # a longer run measures at the same times
        assert np.array_equal(log_times(last), times[times <= last])
        assert np.array_equal(waiting_times(last), waiting_times(5000)[waiting_times(5000) <= last])


@pytest.mark.parametrize("multi_spin, temperature", [(False, 0.5), (True, 1.5)])
def test_glauber_chain(multi_spin, temperature):
    """Energy and C(t_w, t_w + t) at all times; the errors of replicas that share sites too."""
    N, J = 48, 1.3
    systems = (build("ising-chain", N=N, J=J),)
    engine = (MultiSpin(systems, "heat-bath", "random-site") if multi_spin else
              SingleFlip(systems, "heat-bath"))
    protocol = Quench(engine, temperature, 64 * 40, 128)
    z_e, z_c = [], []
    for seed in range(2):
        groups = protocol.result(advanced(protocol, seed))
        one, two = groups["relaxation"], groups["two_time_overlap"]
        exact = glauber.quench_energy(one["time"], temperature, J, N)
        assert np.all(one["energy_err"][4:] < 0.0075 * np.abs(exact[4:]))
        z_e.append((one["energy"] - exact) / one["energy_err"])
        exact = np.array([glauber.ageing_correlation(float(t), two["time_since"], temperature, J, N)
                          for t in two["waiting_time"]])
        known = two["waiting_time"][:, None] + two["time_since"] <= 128
        assert np.array_equal(np.isfinite(two["overlap"]), known)
        z_c.append(((two["overlap"] - exact) / two["overlap_err"])[known])
        assert np.all(np.abs(one["order_parameter"]) < 5.0 * one["order_parameter_err"])
    assert np.abs(z_e).max() < 4.5 and np.abs(z_c).max() < 4.5


def test_replicas_that_share_sites_are_one_for_errors():
    """Energies right after a quench: the scatter of runs is the error stated for each."""
    systems = (build("ising-chain", N=64),)
    engine = MultiSpin(systems, "heat-bath", "random-site")
    assert dependent_replicas(engine) == 64
    protocol = Quench(engine, 0.7, 512, 8)
    found = [protocol.result(advanced(protocol, seed))["relaxation"] for seed in range(40)]
    energy = np.array([group["energy"] for group in found])
    error = np.sqrt(np.mean([group["energy_err"] ** 2 for group in found], axis=0))
    assert np.all(np.abs(energy.std(axis=0, ddof=1) / error - 1.0) < 4.0 / math.sqrt(80.0))
    naive = np.array([np.std(advanced(protocol, 1).energy_t[:, 0]) / 64.0]) / math.sqrt(512.0)
    assert energy.std(axis=0, ddof=1)[0] > 1.5 * naive[0]
    for wrong in (65, 96):
        with pytest.raises(ValueError, match="multiple of 64"):
            Quench(engine, 0.7, wrong, 8)


def test_few_replicas_are_moved_one_at_a_time():
    """Words of 64 only where eight of them give an error."""
    for replicas, kind in ((5, SingleFlip), (64, SingleFlip), (500, SingleFlip), (512, MultiSpin)):
        card = cards.load("glauber-chain", {"relaxation.temperature": 0.5,
                                            "relaxation.replicas": replicas})
        assert isinstance(relaxation(card).engine, kind)


def test_a_quench_ends_in_equilibrium():
    """Overlaps of independent replicas of spin glasses, from both starts: <q^2> by all states."""
    parameters = parameters_class("edwards-anderson")(L=3, dimension=2)
    T, n = 1.5, 4
    drawn = [parameters.model_copy(update={"disorder_seed": k}).disorder(None) for k in range(n)]
    systems = tuple(parameters.build(arrays) for arrays in drawn)
    spins = np.array(list(itertools.product([-1.0, 1.0], repeat=9)))
    q2 = []
    for system in systems:
        field = np.zeros_like(spins)
        for i in range(9):
            here = slice(system.first[i], system.first[i + 1])
            field[:, i] = spins[:, system.neighbour[here]] @ system.coupling[here]
        energy = -0.5 * (field * spins).sum(axis=1)
        p = np.exp(-(energy - energy.min()) / T)
        q2.append((((spins.T * (p / p.sum())) @ spins) ** 2).sum() / 81.0)
    for start in (None, 1.0):
        protocol = Quench(SingleFlip(systems, "heat-bath"), T, 600 * n, 64, start)
        state = advanced(protocol)
        group = protocol.result(state)["relaxation"]
        exact = np.mean(q2)
        late = slice(-3, None)
        z = (group["pair_overlap_squared"] - exact) / group["pair_overlap_squared_thermal_err"]
        assert np.abs(z[late]).max() < 4.0
        assert np.all(group["pair_overlap_squared_thermal_err"][late] < 0.03 * exact)
        per_sample = state.pair_overlap_t.reshape(n, 600, -1)[..., -1].mean(axis=1)
        scatter = per_sample.std(ddof=1) / math.sqrt(n)
        assert group["pair_overlap_squared_err"][-1] == pytest.approx(scatter)


def test_pairs_are_of_one_sample():
    """One replica a sample: no overlap of two samples, no crash; three make three pairs."""
    parameters = parameters_class("edwards-anderson")(L=3, dimension=2)
    systems = tuple(parameters.build(parameters.model_copy(
        update={"disorder_seed": k}).disorder(None)) for k in range(3))
    for replicas in (3, 9):
        protocol = Quench(SingleFlip(systems, "metropolis"), 1.0, replicas, 16)
        group = protocol.result(advanced(protocol))["relaxation"]
        known = np.isfinite(group["pair_overlap_squared"])
        assert known.all() if replicas == 9 else not known.any()
        assert np.isfinite(group["energy"]).all()


@pytest.mark.parametrize("multi_spin", [False, True])
def test_a_longer_quench_adds_to_the_shorter(multi_spin):
    """Extended twice, at totals that are no time of measurement: equal to the long run."""
    systems = (build("ising-2d", L=4),)
    engine = (MultiSpin(systems, "metropolis", "random-site") if multi_spin else
              SingleFlip(systems, "metropolis"))
    state, first = None, None
    for sweeps in (29, 64, 211):
        protocol = Quench(engine, 1.5, 64, sweeps)
        state = protocol.init(4) if state is None else protocol.restore(vars(state))
        while protocol.done(state) < protocol.total():
            protocol.advance(state, 7)
        first = first or (state.energy_t.copy(), state.two_time.copy())
    assert equal(state, advanced(Quench(engine, 1.5, 64, 211), 4))
    assert np.array_equal(state.energy_t[:, : first[0].shape[1]], first[0])
    old = state.two_time[:, : first[1].shape[1], : first[1].shape[2]]
    assert np.array_equal(old[np.isfinite(first[1])], first[1][np.isfinite(first[1])])
    waits, times = waiting_times(211), log_times(211)
    assert np.array_equal(np.isfinite(state.two_time[0]), waits[:, None] + times <= 211)
    # and against the configurations themselves
    replay = engine.start(4, ["quench", 1.5], np.zeros(64, dtype=bool), 1)
    seen = {}
    for t in range(1, 212):
        engine.advance(replay, 0, 1.5, 1, np.empty((64, 0)), np.empty((64, 0)))
        seen[t] = engine.unpacked(replay.configurations[0])[:64].astype(float)
    for w, k in ((0, 3), (2, 8), (3, 10)):
        overlap = (seen[waits[w]] * seen[waits[w] + times[k]]).mean(axis=1)
        assert np.allclose(state.two_time[:, w, k], overlap)


# --- ramps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("sweeps, n_T", [(1, 1), (2, 3), (7, 3), (13, 4), (16, 2)])
def test_where_a_ramp_is(sweeps, n_T):
    """Every sweep of all ramps listed, for odd numbers too."""
    T = tuple(np.linspace(1.0, 2.0, n_T))
    ramp = Ramp(SingleFlip((build("ising-2d", L=3),), "metropolis"), T, 2, sweeps)
    stays = []
    while sweeps:
        stays.insert(0, sweeps)
        sweeps //= 2
    assert ramp.stays().tolist() == stays and stays[0] == 1
    listed = [(j, direction, i, made)
              for j, stay in enumerate(stays) for direction in (0, 1)
              for i in (range(n_T) if direction else range(n_T - 1, -1, -1))
              for made in range(stay)]
    assert ramp.total() == len(listed)
    assert [ramp.where(k) for k in range(len(listed))] == listed
    for j, direction, i in itertools.product(range(len(stays)), (0, 1), range(n_T)):
        last = max(k for k, place in enumerate(listed) if place[:3] == (j, direction, i))
        assert ramp.end_of(j, direction, i) == last + 1


def test_what_a_ramp_measures():
    """Means over the second half of every stay, recounted sweep by sweep; NaN before its end."""
    T = (1.5, 2.0, 3.0)
    engine = SingleFlip((build("ising-2d", L=4),), "heat-bath")
    ramp = Ramp(engine, T, 3, 7)
    state = ramp.init(3)
    replay = engine.start(3, "ramp", np.zeros(3, dtype=bool), 3)
    sums = np.zeros((2, 3, 2, 3, 3))
    cut = 1 * 6 + 3 * 6 + 7 * 4 + 3
    for k in range(cut):
        ramp.advance(state, 1)
        j, direction, i, made = ramp.where(k)
        energy_rt, phi_rt = np.empty((2, 3, 1))
        engine.advance(replay, j, T[i], 1, energy_rt, phi_rt)
        stay = ramp.stays()[j]
        if made >= stay // 2:
            sums[0, j, direction, i] += energy_rt[:, 0] / 16.0 / (stay - stay // 2)
            sums[1, j, direction, i] += np.abs(phi_rt[:, 0]) / 16.0 / (stay - stay // 2)
    assert ramp.done(state) == cut
    group = ramp.result(state)["ramp"]
    for (d, direction), (x, name) in itertools.product(
            enumerate(("cooling", "heating")), enumerate(("energy", "order_parameter"))):
        mean, error, _ = over_samples(np.moveaxis(sums[x, :, d], -1, 0))
        found = group[f"{name}_{direction}"]
        known = np.isfinite(found)
        assert known.sum() == (9 if d == 0 else 7)
        assert np.allclose(found[known], mean[known])
        assert np.allclose(group[f"{name}_{direction}_err"][known], error[known])
    whole = ramp.init(3)
    ramp.advance(whole, cut)
    assert equal(whole, state)


def test_ramps_are_resumed_at_their_own_rates():
    """256 and 300 sweeps have as many rates: the state says which they were."""
    engine = SingleFlip((build("ising-2d", L=3),), "metropolis")
    short = Ramp(engine, (1.0, 2.0), 2, 16)
    state = advanced(short)
    assert equal(short.restore(vars(state)), state)
    for sweeps in (17, 32):
        with pytest.raises(ValueError, match="start another run"):
            Ramp(engine, (1.0, 2.0), 2, sweeps).restore(vars(state))


@pytest.mark.parametrize("multi_spin", [False, True])
def test_a_slow_ramp_stays_in_equilibrium(multi_spin):
    """The slowest rate has the exact energies in both directions, the fastest has not."""
    T = np.array([1.6, 2.2, 2.8, 3.4])
    systems = (build("ising-2d", L=4),)
    engine = (MultiSpin(systems, "heat-bath", "random-site") if multi_spin else
              SingleFlip(systems, "heat-bath"))
    ramp = Ramp(engine, tuple(T), 896, 128)
    group = ramp.result(advanced(ramp, 5))["ramp"]
    exact = ising_theory.kaufman(4, T).energy / 16
    for direction in ("cooling", "heating"):
        error = group[f"energy_{direction}_err"]
        z = (group[f"energy_{direction}"] - exact) / error
        assert np.abs(z[-1]).max() < 4.0 and np.all(error[-1] < 0.0075 * np.abs(exact))
        size = group[f"order_parameter_{direction}"][-1]
        assert np.all(np.diff(size) < 0.0)
    energy, M, number = ising_theory.joint_density_of_states(4)
    for k, t in enumerate(T):
        p = number * np.exp(-(energy - energy[0]) / t)[:, None]
        exact_size = (p.sum(axis=0) * np.abs(M)).sum() / p.sum() / 16
        for direction in ("cooling", "heating"):  # each sweep's modulus, whatever the rate
            difference = group[f"order_parameter_{direction}"][-1, k] - exact_size
            error = group[f"order_parameter_{direction}_err"][-1, k]
            assert abs(difference) < 4.0 * error < 0.03 * exact_size
    behind = (group["energy_cooling"][0] - exact) / group["energy_cooling_err"][0]
    assert behind[0] > 10.0
