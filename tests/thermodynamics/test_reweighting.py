"""Multiple-histogram reweighting against exact densities of states."""

import math

import numpy as np
import pytest

from phasegrok.cards.kinds import parameters_class
from phasegrok.dynamics.local_fields import SiteUpdates
from phasegrok.rng import streams
from phasegrok.statistics import mean_with_error
from phasegrok.systems import discrete
from phasegrok.theory import ising as ising_theory
from phasegrok.thermodynamics.reweighting import combine_histograms

LADDER = np.array([1.9, 2.1, 2.2, 2.3, 2.45, 2.7, 3.1])
BETWEEN = np.array([1.95, 2.15, 2.269, 2.4, 2.6, 2.9, 3.3])


def exact(L):
    """Energies and ln g of the L x L lattice."""
    energy, g = ising_theory.exact_density_of_states(L)
    keep = [k for k, n in enumerate(g) if n > 0]
    return np.asarray(energy, float)[keep], np.array([math.log(g[k]) for k in keep])


def energy_histogram(cell_t, n_cells, phi_t=0.0, powers=()):
    """Counts of the energies of a series, and sums of |Phi|^n at each of them."""
    size_t = np.abs(np.broadcast_to(phi_t, np.shape(cell_t)))
    sums = [np.bincount(cell_t, weights=size_t**n, minlength=n_cells) for n in powers]
    return np.bincount(cell_t, minlength=n_cells), np.array(sums).reshape(len(powers), n_cells)


def probabilities(energy, log_g, temperatures):
    """Canonical probabilities of the levels, shape (K, C)."""
    log_p = log_g - energy / np.asarray(temperatures)[:, None]
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("L, n", [(8, 3000), (16, 3000)])
def test_errors_are_honest_over_many_seeds(L, n):
    """Histograms drawn from the exact distribution: every deviation is known in its own error."""
    energy, log_g = exact(L)
    p_kc = probabilities(energy, log_g, LADDER)
    p_tc = probabilities(energy, log_g, BETWEEN)
    mean_t = p_tc @ energy
    C_t = (p_tc @ energy**2 - mean_t**2) / (L**2 * BETWEEN**2)
    top = (-energy / LADDER[:, None] + log_g).max(axis=1)
    log_Z = top + np.log(np.exp(-energy / LADDER[:, None] + log_g - top[:, None]).sum(axis=1))
    f_k = -(log_Z - log_Z[0])
    pulls = {"mean_energy": [], "heat_capacity": [], "f": [], "log_g": []}
    for seed in range(60):
        rng = np.random.default_rng(seed)
        counts = np.array([[rng.multinomial(n, p) for p in p_kc] for _ in range(20)])
        found = combine_histograms(energy, counts, LADDER, np.ones(len(LADDER)))
        assert np.all(found.covers(BETWEEN))
        values = found.canonical(BETWEEN, L**2)
        for name, exact_t in (("mean_energy", mean_t / L**2), ("heat_capacity", C_t)):
            pulls[name].append((values[name] - exact_t) / values[f"{name}_err"])
            assert np.all(values[f"{name}_err"] < 0.0075 * np.abs(exact_t) * math.sqrt(60))
        pulls["f"].append((found.free_energies_k - f_k)[1:] / found.free_energies_err_k[1:])
        # ln g between well visited levels, one of which fixes the constant
        well = np.flatnonzero(found.effective_c > 500)
        middle = well[len(well) // 2]
        rows = found.log_g_jackknife_bc[:, well] - found.log_g_jackknife_bc[:, [middle]]
        error = np.sqrt(19 * rows.var(axis=0))
        use = np.arange(len(well)) != len(well) // 2
        deviation = (found.log_g_c - found.log_g_c[middle] - log_g + log_g[middle])[well]
        pulls["log_g"].append(np.mean((deviation[use] / error[use]) ** 2))
    # Student's t with 19 degrees of freedom has variance 19/17
    for name in ("mean_energy", "heat_capacity", "f"):
        pull = np.array(pulls[name])
        assert np.all(np.abs(pull.mean(axis=0)) < 4.0 * math.sqrt(19 / 17 / 60))
        spread = (pull**2).mean(axis=0)
        assert np.all(np.abs(spread - 19 / 17) < 4.0 * math.sqrt(2.0 / 60) * 19 / 17)
    assert np.mean(pulls["log_g"]) == pytest.approx(19 / 17, abs=0.15)


def test_order_parameter_moments_at_other_temperatures():
    energy, M, number = ising_theory.joint_density_of_states(8)
    g_EM = number.astype(float)
    seen = g_EM.sum(axis=1) > 0
    energy, g_EM = np.asarray(energy, float)[seen], g_EM[seen]
    powers = (1, 2, 4)
    weight = g_EM * np.exp(-(energy[None, :, None] - energy[0]) / LADDER[:, None, None])
    weight /= weight.sum(axis=(1, 2), keepdims=True)
    at_t = g_EM * np.exp(-(energy[None, :, None] - energy[0]) / BETWEEN[:, None, None])
    at_t /= at_t.sum(axis=(1, 2), keepdims=True)
    exact_nt = np.array([(at_t * np.abs(M / 64.0) ** n).sum(axis=(1, 2)) for n in powers])
    pulls = []
    for seed in range(40):
        rng = np.random.default_rng(100 + seed)
        counts, sums = [], []
        for _ in range(16):
            for w in weight:
                joint = rng.multinomial(2000, w.ravel()).reshape(w.shape)
                cell, m = np.nonzero(joint)
                repeat = joint[cell, m]
                one = energy_histogram(np.repeat(cell, repeat), len(energy),
                                       np.repeat(M[m] / 64.0, repeat), powers)
                counts.append(one[0])
                sums.append(one[1])
        counts = np.array(counts).reshape(16, len(LADDER), -1)
        sums = np.array(sums).reshape(16, len(LADDER), 3, -1).transpose(2, 0, 1, 3)
        assert sums[0].sum() == pytest.approx(
            sum(np.abs(M / 64.0) @ w.sum(axis=0) for w in weight) * 32000, rel=0.01)
        values = combine_histograms(energy, counts, LADDER, np.ones(7), sums).canonical(BETWEEN, 64)
        assert np.all(values["moments_err"] < 0.0075 * exact_nt)
        pulls.append((values["moments"] - exact_nt) / values["moments_err"])
    pulls = np.array(pulls)
    assert np.all(np.abs(pulls.mean(axis=0)) < 4.0 * math.sqrt(15 / 13 / 40))
    assert (pulls**2).mean() == pytest.approx(15 / 13, abs=0.25)


def test_monte_carlo_runs_with_their_autocorrelations():
    """Real series at unequal inefficiencies; L = 16 against Kaufman's solution."""
    L, n_replicas, n = 16, 10, 8000
    model = parameters_class("ising-2d")(L=L)
    system = model.build({})
    updates = SiteUpdates(system, "metropolis")
    levels = np.arange(-2 * L * L, 2 * L * L + 1, 4, dtype=float)
    counts = np.zeros((n_replicas, len(LADDER), len(levels)), dtype=int)
    inefficiency = []
    for k, temperature in enumerate(LADDER):
        rng_r = streams(5, ["reweighting", temperature], n_replicas)
        energy_rt, phi_rt = np.zeros((2, n_replicas, n + 500))
        for r in range(n_replicas):
            sigma, cache = np.ones(L * L, dtype=np.int8), np.zeros(1, dtype=np.int64)
            values = np.array(discrete.prepare(system, sigma, cache))
            updates.advance(temperature, n + 500, sigma, cache, values, rng_r[r], energy_rt[r],
                            phi_rt[r])
            cell_t = np.rint((energy_rt[r, 500:] - levels[0]) / 4.0).astype(int)
            counts[r, k], _ = energy_histogram(cell_t, len(levels))
        inefficiency.append(2.0 * mean_with_error(energy_rt[:, 500:]).tau)
    found = combine_histograms(levels, counts, LADDER, np.array(inefficiency))
    T = np.linspace(1.9, 3.2, 14)
    values, exact_t = found.canonical(T, L * L), ising_theory.kaufman(L, T)
    z_E = (values["mean_energy"] - exact_t.energy / L**2) / values["mean_energy_err"]
    z_C = (values["heat_capacity"] - exact_t.heat_capacity / L**2) / values["heat_capacity_err"]
    assert np.all(values["mean_energy_err"] < 0.0075 * np.abs(exact_t.energy) / L**2)
    assert np.all(np.abs(z_E) < 4.5) and np.all(np.abs(z_C) < 4.5)
    # the effective samples at a simulated temperature are at least the run's own
    own = n_replicas * n / np.array(inefficiency)
    assert np.all(found.effective_samples(LADDER) > 0.9 * own)


def test_extreme_ladders_are_solved():
    """Two thousand levels, weights over a thousand orders of magnitude, hardly any overlap."""
    energy, log_g = exact(32)
    ladder = np.array([1.2, 1.5, 1.8, 2.0, 2.12, 2.2, 2.25, 2.3, 2.36, 2.45, 2.6, 2.8, 3.1, 3.6,
                       4.5, 7.0, 20.0, 1000.0])
    rng = np.random.default_rng(3)
    counts = np.array([[rng.multinomial(2000, p) for p in probabilities(energy, log_g, ladder)]
                       for _ in range(4)])
    found = combine_histograms(energy, counts, ladder, np.ones(len(ladder)))
    assert found.overlap_k.min() < 0.2
    log_Z = np.logaddexp.reduce(log_g - energy / ladder[:, None], axis=1)
    exact_f = -(log_Z - log_Z[0])
    error = found.free_energies_err_k
    assert np.all(np.abs(found.free_energies_k - exact_f)[1:] < 6.0 * error[1:])  # four blocks
    assert np.all(np.abs(found.free_energies_k - exact_f)[1:] < 1e-3 * np.abs(exact_f[1:]))
    # the order of the temperatures does not matter
    again = combine_histograms(energy, counts[:, ::-1], ladder[::-1], np.ones(len(ladder)))
    assert again.free_energies_k[::-1] - again.free_energies_k[-1] == pytest.approx(
        found.free_energies_k, abs=1e-6)


def test_far_from_the_solution_newton_may_stand_still():
    """Two levels at T = 0.1 and 0.2, the second run with few independent samples.

    The start, an integral over 1/T, is off by 50 nats, where the curvature is 0 to rounding.  The
    run at 0.1 never left the ground state, so ln Z(0.2)/Z(0.1) follows from the other alone.
    """
    counts = np.tile([[1400, 0], [1225, 175]], (2, 1, 1))
    found = combine_histograms([-32.0, -16.0], counts, [0.1, 0.2], [1.0, 949.0])
    assert found.free_energies_k == pytest.approx([0.0, 160.0 + math.log(7.0 / 8.0)])
    assert np.diff(found.log_g_c) == pytest.approx([math.log(1.0 / 7.0) + 80.0])


def test_ladders_at_random_are_solved():
    """Temperatures over two decades, 10 to 100,000 samples, inefficiencies 1 to 1000."""
    energy, log_g = exact(4)
    rng, solved = np.random.default_rng(7), 0
    for _ in range(60):
        T = np.sort(np.exp(rng.uniform(math.log(0.02), math.log(6.0), rng.integers(2, 16))))
        counts = np.array([rng.multinomial(int(10.0 ** rng.uniform(1.0, 5.0)), p)
                           for p in probabilities(energy, log_g, T)])
        if (counts > 0).sum(axis=0).max() < len(T):  # no level that all runs saw
            continue
        solved += 1
        s = 10.0 ** rng.uniform(0.0, 3.0, len(T))
        found = combine_histograms(energy, counts[None], T, s)
        seen = np.isfinite(found.log_g_c)
        log_Z = np.logaddexp.reduce(found.log_g_c[seen] - energy[seen] / T[:, None], axis=1)
        assert log_Z == pytest.approx(-found.free_energies_k, abs=1e-7)  # the equations hold
    assert solved > 30


def test_one_temperature_is_plain_reweighting():
    energy, log_g = exact(8)
    p = probabilities(energy, log_g, [2.4])
    counts = np.random.default_rng(1).multinomial(100_000, p[0])
    found = combine_histograms(energy, counts[None, None], [2.4], [1.0])
    w = counts * np.exp(-(energy + 90.0) * (1.0 / 2.35 - 1.0 / 2.4))
    values = found.canonical([2.35], 64)
    assert values["mean_energy"][0] == pytest.approx(w @ energy / w.sum() / 64, rel=1e-10)
    assert np.isnan(values["mean_energy_err"][0])  # one block gives no error


def test_what_the_histograms_do_not_cover_is_said():
    energy, log_g = exact(16)
    counts = np.array([[np.random.default_rng(b).multinomial(500, p)
                        for p in probabilities(energy, log_g, [1.2, 1.3, 4.0])] for b in range(3)])
    with pytest.raises(ValueError, match=r"between T = 1\.3 and 4: add"):
        combine_histograms(energy, counts, [1.2, 1.3, 4.0], np.ones(3))
    found = combine_histograms(energy, counts[:, :2], [1.2, 1.3], np.ones(2))
    assert found.covers([1.25])[0] and not found.covers([2.2])[0]
    with pytest.raises(ValueError, match=r"do not cover T = 2\.2"):
        found.canonical([1.25, 2.2], 256)
    with pytest.raises(ValueError, match="no samples at T = 3"):
        combine_histograms(energy, np.stack([counts[:, 0], 0 * counts[:, 0]], 1), [1.2, 3.0],
                           np.ones(2))
    with pytest.raises(ValueError, match="must be"):
        combine_histograms(energy, counts[0], [1.2, 1.3, 4.0], np.ones(3))
    with pytest.raises(ValueError, match="negative or zero"):
        combine_histograms(energy, counts, [1.2, 1.3, 0.0], np.ones(3))
