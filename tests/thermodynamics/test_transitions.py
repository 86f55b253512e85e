"""ln g from attempted transitions: enumerated systems, sampled chains, agreement of estimates."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import logsumexp

from phasegrok.statistics import jackknife_error
from phasegrok.thermodynamics.transitions import (
    estimates_agree,
    transition_log_g,
    transition_log_g_jackknife,
)


def enumerated(q, L, joint):
    """Exact g and proposals of the L x L Potts lattice, E = -sum delta: g_c, offsets_k, T_ck.

    A proposal gives a random site one of the other q - 1 colours.  Cells are E, or (E, number of
    sites of colour 0), flattened.
    """
    n = L * L
    colour_ns = np.arange(q**n)[:, None] // q ** np.arange(n) % q
    right_s, down_s = (np.roll(np.arange(n).reshape(L, L), 1, axis).ravel() for axis in (1, 0))
    equal_n = sum((colour_ns == colour_ns[:, other]).sum(axis=1) for other in (right_s, down_s))
    phi_n = (colour_ns == 0).sum(axis=1)
    width = n + 1 if joint else 1
    cell_n = (2 * n - equal_n) * width + (phi_n if joint else 0)
    n_cells = (2 * n + 1) * width
    attempts = {}
    for site in range(n):
        for turn in range(1, q):
            change = (colour_ns[:, site] + turn) % q - colour_ns[:, site]
            step_n = cell_n[np.arange(q**n) + change * q**site] - cell_n
            for offset in np.unique(step_n):
                column_c = attempts.setdefault(int(offset), np.zeros(n_cells))
                column_c += np.bincount(cell_n[step_n == offset], minlength=n_cells)
    g_c = np.bincount(cell_n, minlength=n_cells).astype(float)
    T_ck = np.stack(list(attempts.values()), axis=1) / (n * (q - 1) * np.maximum(g_c, 1.0))[:, None]
    return g_c, np.array(list(attempts)), T_ck


@pytest.fixture(scope="module")
def potts():
    """The joint landscape of the 3 x 3 Potts lattice of three colours: 109 cells."""
    return enumerated(3, 3, True)


def log_of(g_c):
    """ln g, NaN for an empty cell."""
    with np.errstate(divide="ignore"):
        return np.where(g_c > 0, np.log(g_c), np.nan)


@pytest.mark.parametrize("q, L, joint", [(2, 3, True), (2, 4, False), (3, 3, False), (3, 3, True)])
def test_expected_attempts_give_the_exact_density_of_states(q, L, joint):
    g_c, offsets_k, T_ck = enumerated(q, L, joint)
    # any numbers of visits: weights and windows must not matter
    n_c = np.exp(np.random.default_rng(1).normal(size=g_c.size) * 3.0)
    log_g_c = transition_log_g(n_c[:, None] * T_ck, offsets_k, L * L * math.log(q))
    np.testing.assert_allclose(log_g_c, log_of(g_c), rtol=0.0, atol=1e-10)


def test_columns_that_stay_or_have_no_opposite_count_as_staying(potts):
    g_c, offsets_k, T_ck = potts
    log_total = 9.0 * math.log(3.0)
    attempts_ck = 1e5 * T_ck
    # a pair of offsets of which only the number of attempts is known
    rare = np.abs(offsets_k) == np.abs(offsets_k).max()
    assert rare.any() and (T_ck[:, rare] > 0).any()
    other_k = np.where(rare, 0, offsets_k)
    np.testing.assert_allclose(
        transition_log_g(attempts_ck, other_k, log_total), log_of(g_c), rtol=0.0, atol=1e-10
    )
    one_way_k = np.where(offsets_k == offsets_k.max(), 0, offsets_k)
    np.testing.assert_allclose(
        transition_log_g(attempts_ck, one_way_k, log_total), log_of(g_c), rtol=0.0, atol=1e-10
    )
    # Two columns of one offset, as two (E, Phi) steps may have, are added.
    halves_ck = np.concatenate([0.3 * attempts_ck, 0.7 * attempts_ck], axis=1)
    np.testing.assert_allclose(
        transition_log_g(halves_ck, np.tile(offsets_k, 2), log_total), log_of(g_c), rtol=0.0,
        atol=1e-10,
    )


def landscape(n_cells=300, span=900.0):
    """A hump of ``span`` nats with neighbours one and two cells away: ln g, offsets, T."""
    rng = np.random.default_rng(7)
    log_g_c = span * np.sin(np.linspace(0.2, 2.9, n_cells)) + rng.normal(size=n_cells)
    offsets_k = np.array([-2, -1, 1, 2, 0])
    T_ck = np.zeros((n_cells, 5))
    for step in (1, 2):
        rise_c = log_g_c[step:] - log_g_c[:-step]
        rate_c = rng.uniform(0.1, 0.25, size=rise_c.size)
        T_ck[:-step, list(offsets_k).index(step)] = rate_c * np.exp(np.minimum(0.0, rise_c))
        T_ck[step:, list(offsets_k).index(-step)] = rate_c * np.exp(np.minimum(0.0, -rise_c))
    T_ck[:, -1] = 1.0 - T_ck.sum(axis=1)
    return log_g_c, offsets_k, T_ck


def test_a_steep_landscape_beyond_the_range_of_a_double_is_exact():
    log_g_c, offsets_k, T_ck = landscape()
    result_c = transition_log_g(1e6 * T_ck, offsets_k, 2000.0)
    log_g_c += 2000.0 - logsumexp(log_g_c)
    np.testing.assert_allclose(result_c, log_g_c, rtol=0.0, atol=1e-10)


def test_neighbouring_cells_give_products_of_local_ratios():
    # On a line, each pair is solved alone: g_c+1 / g_c = T_c,c+1 / T_c+1,c.
    rng = np.random.default_rng(3)
    attempts_ck = rng.integers(1, 50, size=(30, 3))
    attempts_ck[0, 0] = attempts_ck[-1, 2] = 0
    T_ck = attempts_ck / attempts_ck.sum(axis=1, keepdims=True)
    ratio_c = np.log(T_ck[:-1, 2]) - np.log(T_ck[1:, 0])
    expected_c = np.append(0.0, np.cumsum(ratio_c))
    expected_c += 5.0 - logsumexp(expected_c)
    result_c = transition_log_g(attempts_ck, np.array([-1, 0, 1]), 5.0)
    np.testing.assert_allclose(result_c, expected_c, rtol=0.0, atol=1e-11)


def likelihood_solution(attempts_ij):
    """ln g that maximises sum_ij C_ij ln T_ij over reversible T, with all X_ij = g_i T_ij free.

    ``attempts_ij[i, j]`` includes the stays on the diagonal.
    """
    n = len(attempts_ij)
    upper = np.triu_indices(n)

    def minus_log_likelihood(log_X_p):
        X_ij = np.zeros((n, n))
        X_ij[upper] = np.exp(log_X_p)
        X_ij = X_ij + np.triu(X_ij, 1).T
        return -np.sum(attempts_ij * np.log(X_ij / X_ij.sum(axis=1, keepdims=True)))

    found = minimize(minus_log_likelihood, np.zeros(len(upper[0])), method="BFGS",
                     options={"gtol": 1e-7})
    X_ij = np.zeros((n, n))
    X_ij[upper] = np.exp(found.x)
    g_i = (X_ij + np.triu(X_ij, 1).T).sum(axis=1)
    return np.log(g_i / g_i.sum())


@pytest.mark.parametrize("one_way", [False, True])
def test_solution_is_the_most_likely_reversible_chain(one_way):
    attempts_ij = np.random.default_rng(5).integers(5, 60, size=(4, 4)).astype(float)
    if one_way:  # 0 -> 1 -> 2 -> 3 -> 0 is enough to connect all
        attempts_ij[[1, 0, 2, 3], [0, 3, 1, 2]] = 0.0
    offsets_k = np.arange(-3, 4)
    attempts_ck = np.zeros((4, 7))
    for i in range(4):
        attempts_ck[i, 3 - i : 7 - i] = attempts_ij[i]
    result_c = transition_log_g(attempts_ck, offsets_k, 0.0)
    np.testing.assert_allclose(result_c, likelihood_solution(attempts_ij), rtol=0.0, atol=1e-5)


def test_cells_that_are_not_connected_both_ways_are_undetermined():
    log_g_c, offsets_k, T_ck = landscape(20, 30.0)
    attempts_ck = 1000.0 * T_ck
    sink_ck = attempts_ck.copy()
    sink_ck[19, :4] = 0.0  # proposed from 17 and 18, but nobody was ever there
    result_c = transition_log_g(sink_ck, offsets_k, 1.0)
    assert np.isnan(result_c[19])
    np.testing.assert_allclose(
        result_c[:19], log_g_c[:19] - logsumexp(log_g_c[:19]) + 1.0, rtol=0.0, atol=1e-10
    )
    cut_ck = attempts_ck.copy()  # cells 0..7 know of 8..19, but not the reverse
    for step, column in ((1, 1), (2, 0)):
        cut_ck[8 : 8 + step, 4] += cut_ck[8 : 8 + step, column]
        cut_ck[8 : 8 + step, column] = 0.0
    result_c = transition_log_g(cut_ck, offsets_k, 1.0)
    assert np.isnan(result_c[:8]).all()
    np.testing.assert_allclose(
        result_c[8:], log_g_c[8:] - logsumexp(log_g_c[8:]) + 1.0, rtol=0.0, atol=1e-10
    )
    assert np.isnan(transition_log_g(np.zeros((20, 5)), offsets_k, 1.0)).all()


def test_leaving_a_walker_out_is_the_solution_of_the_others(potts):
    g_c, offsets_k, T_ck = potts
    rng = np.random.default_rng(11)
    stay_c = np.maximum(1.0 - T_ck.sum(axis=1), 0.0)
    p_ck = np.concatenate([T_ck, stay_c[:, None]], axis=1)[g_c > 0]
    attempts_wck = np.zeros((3, *T_ck.shape), dtype=np.int64)
    attempts_wck[:, g_c > 0] = np.stack([rng.multinomial(400, p_ck) for _ in range(3)])[..., :-1]
    ground = np.flatnonzero(g_c)[0]  # only walker 0 was in the state of lowest energy
    attempts_wck[1:, ground] = 0
    log_total = 9.0 * math.log(3.0)
    log_g_c, jackknife_wc = transition_log_g_jackknife(attempts_wck, offsets_k, log_total)
    np.testing.assert_allclose(
        log_g_c, transition_log_g(attempts_wck.sum(axis=0), offsets_k, log_total), rtol=0, atol=1e-9
    )
    for w in range(3):
        others_ck = attempts_wck.sum(axis=0) - attempts_wck[w]
        expected_c = transition_log_g(others_ck, offsets_k, log_total)
        if w == 0:  # the cell that is missing there keeps its share
            assert np.isnan(jackknife_wc[0, ground])
            expected_c += np.log1p(-np.exp(log_g_c[ground] - log_total))
        np.testing.assert_allclose(jackknife_wc[w], expected_c, rtol=0.0, atol=1e-8)
    _, alone_wc = transition_log_g_jackknife(attempts_wck[:1], offsets_k, log_total)
    assert np.isnan(alone_wc).all()


def test_errors_are_those_of_the_scatter_and_reach_the_cramer_rao_bound():
    g_c, offsets_k, T_ck = enumerated(2, 4, False)
    cells = np.flatnonzero(g_c)
    p_ck = np.append(T_ck, np.maximum(1.0 - T_ck.sum(axis=1), 0.0)[:, None], axis=1)
    per_walker, n_walkers, runs = 4000, 8, 150
    rng = np.random.default_rng(2)
    error_rc, z_rc, stated_rc = [], [], []
    for _ in range(runs):
        attempts_wck = np.zeros((n_walkers, *p_ck.shape), dtype=np.int64)
        attempts_wck[:, cells] = rng.multinomial(per_walker, p_ck[cells], (n_walkers, cells.size))
        log_g_c, jackknife_wc = transition_log_g_jackknife(
            attempts_wck, np.append(offsets_k, 0), 16.0 * math.log(2.0)
        )
        stated_c = jackknife_error(jackknife_wc)[cells]
        error_rc.append((log_g_c - log_of(g_c))[cells])
        z_rc.append(error_rc[-1] / stated_c)
        stated_rc.append(stated_c)
    # (i) no bias: each cell's mean z; (ii) stated errors against the scatter
    z_c = np.mean(z_rc, axis=0) / math.sqrt(7 / 5) * math.sqrt(runs)
    assert np.abs(z_c).max() < 3.5
    ratio_c = np.sqrt(np.mean(np.square(stated_rc), axis=0) / np.mean(np.square(error_rc), axis=0))
    assert np.abs(ratio_c - 1.0).max() < 0.25 and abs(ratio_c.mean() - 1.0) < 0.06
    # (iii) no estimate of a reversible chain without bias can have smaller errors
    bound_c = cramer_rao(g_c, offsets_k, T_ck, n_walkers * per_walker)
    scatter_c = np.sqrt(np.mean(np.square(error_rc), axis=0))
    assert np.abs(scatter_c / bound_c - 1.0).max() < 0.25
    assert abs((scatter_c / bound_c).mean() - 1.0) < 0.06


def cramer_rao(g_c, offsets_k, T_ck, n):
    """Smallest standard errors of ln g from n attempts a cell, all X_ij = g_i T_ij unknown."""
    cells = np.flatnonzero(g_c)
    T_cc = np.zeros((g_c.size, g_c.size))
    i, k = np.nonzero(T_ck)
    np.add.at(T_cc, (i, i + offsets_k[k]), T_ck[i, k])
    T_cc = T_cc[np.ix_(cells, cells)]
    X_cc = g_c[cells, None] / g_c.sum() * T_cc
    pairs = np.argwhere(np.triu(X_cc) > 0)
    information_pp = np.zeros((len(pairs), len(pairs)))
    # d ln T_ij / d ln X_p = [p is the pair ij] - (share of p in row i)
    for i in range(len(cells)):
        in_row_p = (pairs == i).any(axis=1)
        share_p = np.where(in_row_p, X_cc[pairs[:, 0], pairs[:, 1]], 0.0) / X_cc[i].sum()
        information_pp += n * (np.diag(share_p) - np.outer(share_p, share_p))
    covariance_pp = np.linalg.pinv(information_pp)
    row_cp = np.array([np.where((pairs == i).any(axis=1), X_cc[pairs[:, 0], pairs[:, 1]], 0.0)
                       for i in range(len(cells))])
    slope_cp = row_cp / row_cp.sum(axis=1)[:, None] - row_cp.sum(axis=0) / row_cp.sum()
    return np.sqrt(np.diag(slope_cp @ covariance_pp @ slope_cp.T))


def walks(n_walkers, n_cells, rng, bias=0.0):
    """Estimate and leave-one-out rows of walkers whose errors are random walks over the cells."""
    x_wc = rng.normal(size=(n_walkers, n_cells)).cumsum(axis=1) + bias
    return x_wc.mean(axis=0), (x_wc.sum(axis=0) - x_wc) / (n_walkers - 1)


@pytest.mark.parametrize("n_walkers", [6, 8, 20])
def test_estimates_with_the_same_mean_agree_as_often_as_stated(n_walkers):
    rng = np.random.default_rng(4)
    zeros_c, zeros_wc = np.zeros(40), np.zeros((n_walkers, 40))
    p_r = np.array([
        estimates_agree(*walks(n_walkers, 40, rng), zeros_c, zeros_wc).p_value for _ in range(1000)
    ])
    assert p_r.min() >= 2.0 ** (1 - min(n_walkers, 12))
    for level in (1 / 16, 1 / 4, 1 / 2):
        z = ((p_r <= level + 1e-9).sum() - 1000 * level) / math.sqrt(1000 * level * (1 - level))
        assert abs(z) < 3.0


def test_estimates_that_differ_are_found():
    rng = np.random.default_rng(8)
    found = []
    for _ in range(100):
        # 40 cells with a common and an own part; the other estimate shares the common one
        common_wc = rng.normal(size=(8, 1)) + 0.1 * rng.normal(size=(8, 40))
        own_wc = 0.1 * rng.normal(size=(8, 40))
        rows = [(x_wc.mean(axis=0), (x_wc.sum(axis=0) - x_wc) / 7.0)
                for x_wc in (common_wc, common_wc + own_wc + 0.1)]
        found.append(estimates_agree(*rows[0], *rows[1]))
    assert np.mean([a.p_value <= 1 / 128 for a in found]) > 0.95
    expected = math.sqrt(0.1**2 + 0.1**2 / 8)
    assert np.mean([a.rms_difference for a in found]) == pytest.approx(expected, rel=0.01)
    assert np.mean([a.rms_error for a in found]) == pytest.approx(0.1 / math.sqrt(8), rel=0.02)
    assert {a.cells for a in found} == {40}
    assert min(a.rms_z for a in found) > 2.0


@pytest.mark.parametrize("n_walkers", [2, 4, 6, 8, 20])
def test_few_walkers_refute_too_and_seldom_in_error(n_walkers):
    """Of 2^(1 - W) as the least p, no limit of 1/1000 is met with eight walkers."""
    rng = np.random.default_rng(5)
    zeros_c, zeros_wc = np.zeros(40), np.zeros((n_walkers, 40))

    def refuted(bias):
        return np.mean([estimates_agree(*walks(n_walkers, 40, rng, bias), zeros_c, zeros_wc).refuted
                        for _ in range(1000)])

    assert refuted(0.0) < 0.01
    assert refuted(20.0) > 0.8 or n_walkers < 6


def test_cells_without_an_error_are_left_out_of_the_comparison():
    rng = np.random.default_rng(9)
    estimate_c, rows_wc = walks(8, 10, rng)
    other_c, other_wc = walks(8, 10, rng)
    reference = estimates_agree(estimate_c[:8], rows_wc[:, :8], other_c[:8], other_wc[:, :8])
    estimate_c[9] = np.nan
    other_wc[3, 8] = np.nan
    assert estimates_agree(estimate_c, rows_wc, other_c, other_wc) == reference
    alone = estimates_agree(estimate_c, rows_wc[:1], other_c, other_wc[:1])
    assert alone.cells == 9 and math.isnan(alone.rms_z) and math.isnan(alone.p_value)
    same = estimates_agree(other_c, rows_wc, other_c, rows_wc)
    assert same.rms_difference == 0.0 and same.rms_error == 0.0
    with pytest.raises(ValueError, match="same shapes"):
        estimates_agree(estimate_c, rows_wc, other_c[:5], other_wc)


def test_wrong_attempts_are_refused():
    offsets_k = np.array([-1, 1])
    with pytest.raises(ValueError, match="do not fit"):
        transition_log_g(np.ones((3, 3)), offsets_k, 1.0)
    with pytest.raises(ValueError, match="do not fit"):
        transition_log_g_jackknife(np.ones((3, 2)), offsets_k, 1.0)
    with pytest.raises(ValueError, match="integers"):
        transition_log_g(np.ones((3, 2)), np.array([-1.0, 1.0]), 1.0)
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="not negative"):
            transition_log_g(np.full((3, 2), wrong), offsets_k, 1.0)
