"""Hit and run in the cone of students without error: exact laws in low dimension, theory, bits."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from phasegrok.protocols.version_space import VersionSpace
from phasegrok.statistics import mean_with_error
from phasegrok.systems.spherical_perceptron import Parameters
from phasegrok.theory.gibbs_perceptron import spherical_at


def drawn(N, P, seed=1):
    p = Parameters(N=N, P=P, disorder_seed=seed)
    return p.build(p.disorder(None))


def run(systems, sweeps, seed=1):
    protocol = VersionSpace(tuple(systems), sweeps)
    state = protocol.init(seed)
    protocol.advance(state, sweeps)
    return protocol, state


@pytest.mark.parametrize("P, seed", [(1, 1), (2, 2), (3, 5)])
def test_uniform_on_an_arc(P, seed):
    """In two dimensions every great circle is the circle: moves are independent and uniform."""
    system = drawn(2, P, seed)
    _, state = run([system], 4000)
    start = math.atan2(system.teacher[1], system.teacher[0])
    normals = np.arctan2(system.aligned[:, 1], system.aligned[:, 0])
    offset = np.angle(np.exp(1j * (normals - start)))  # of the half circles, from the teacher
    low, high = offset.max() - 0.5 * math.pi, offset.min() + 0.5 * math.pi
    assert low < 0.0 < high

    def below(R):  # P(cos(angle) <= R)
        inside = np.arccos(np.clip(R, -1.0, 1.0))
        return 1.0 - (np.minimum(high, inside) - np.maximum(low, -inside)) / (high - low)

    for series in state.series[0]:
        assert stats.kstest(series, below).pvalue > 1e-3


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mean_student_of_a_spherical_triangle(seed):
    """Three patterns in three dimensions: the integral of w is half the sum of side times normal.

    The area is the excess of the angles.
    """
    system = drawn(3, 3, seed)
    n = system.aligned / np.linalg.norm(system.aligned, axis=1)[:, None]
    corner = np.cross(np.roll(n, -1, axis=0), np.roll(n, -2, axis=0))  # off side k
    corner /= np.linalg.norm(corner, axis=1)[:, None]
    corner *= np.sign(np.sum(corner * n, axis=1))[:, None]
    side = [math.acos(corner[(k + 1) % 3] @ corner[(k + 2) % 3]) for k in range(3)]
    angle = [math.pi - math.acos(n[(k + 1) % 3] @ n[(k + 2) % 3]) for k in range(3)]
    mean = 0.5 * np.array(side) @ n / (sum(angle) - math.pi)
    exact = mean @ system.teacher
    _, state = run([system], 100_000)
    for series in state.series[0]:
        found = mean_with_error(series)
        assert found.error < 0.01 * exact
        assert abs(found.value - exact) < 4.0 * found.error


def test_starts_agree_and_students_overlap_as_with_the_teacher():
    """Two students of a sample overlap, in the mean, as teacher and student do."""
    samples = 400
    protocol, state = run([drawn(11, 11, seed) for seed in range(samples)], 240)
    group = protocol.result(state)["version_space"]
    z = np.diff(group["error"], axis=1)[:, 0] / np.hypot(*group["error_err"].T)
    assert abs(z.mean()) < 4.0 / math.sqrt(samples) and 0.8 < z.std() < 1.2
    two = np.sum(state.w[:, 0] * state.w[:, 1], axis=1)
    two /= np.prod(np.linalg.norm(state.w, axis=2), axis=1)
    difference = two - group["overlap"].mean(axis=1)
    assert abs(difference.mean()) < 4.0 * difference.std() / math.sqrt(samples)


@pytest.mark.slow
def test_mean_overlap_approaches_theory():
    """alpha = 1, linear in 1/N from N = 11 and 33."""
    (small, large), means, errors = (11, 33), [], []
    for N, samples in ((small, 800), (large, 500)):
        protocol, state = run([drawn(N, N, seed) for seed in range(samples)], 80)
        R = protocol.result(state)["version_space"]["overlap"].mean(axis=1)
        means.append(R.mean())
        errors.append(R.std(ddof=1) / math.sqrt(samples))
    limit = (large * means[1] - small * means[0]) / (large - small)
    error = math.hypot(large * errors[1], small * errors[0]) / (large - small)
    exact = spherical_at(1.0).R
    assert error < 0.0095 * exact and abs(limit - exact) < 4.0 * error


def test_blocks_do_not_change_a_bit_and_students_stay_right():
    systems = [drawn(9, 20, seed) for seed in range(3)]
    protocol, whole = run(systems, 200)
    parts = protocol.init(1)
    for n in (1, 60, 139):
        protocol.advance(parts, n)
    for field in dataclasses.fields(whole):
        np.testing.assert_array_equal(getattr(whole, field.name), getattr(parts, field.name))
    longer = VersionSpace(tuple(systems), 260).restore(dataclasses.asdict(whole))
    assert longer.series.shape == (3, 2, 260) and np.isnan(longer.series[:, :, 200:]).all()
    for system, w in zip(systems, whole.w):
        assert np.all(system.aligned @ w.T > 0.0)


def test_too_few_sweeps_give_nothing():
    protocol, state = run([drawn(5, 5)], 20)
    assert protocol.result(state) == {}
    with pytest.raises(ValueError, match="need 6 rows"):
        Parameters(N=5, P=5).disorder(np.zeros((3, 5)))
