"""Moves within the version space of a spherical perceptron: the weights that learn all patterns."""

import math

from phasegrok.compiled import kernel
from phasegrok.rng import fill_normal, uniform


@kernel
def _sweep(aligned, w, rng, v, field, across):
    """N moves of one chain; ``field`` is aligned w and is kept with it."""
    P, N = aligned.shape
    for _ in range(N):
        fill_normal(rng, v)
        along = 0.0
        for i in range(N):
            along += v[i] * w[i]
        norm = 0.0
        for i in range(N):
            v[i] -= along * w[i]
            norm += v[i] * v[i]
        norm = 1.0 / math.sqrt(norm)
        for i in range(N):
            v[i] *= norm
        low, high = -math.pi, math.pi
        for mu in range(P):
            total = 0.0
            for i in range(N):
                total += aligned[mu, i] * v[i]
            across[mu] = total
            centre = math.atan2(total, field[mu])
            low = max(low, centre - 0.5 * math.pi)
            high = min(high, centre + 0.5 * math.pi)
        theta = low + (high - low) * uniform(rng)
        c, s = math.cos(theta), math.sin(theta)
        for i in range(N):
            w[i] = c * w[i] + s * v[i]
        for mu in range(P):
            field[mu] = c * field[mu] + s * across[mu]


@kernel
def advance_chain(aligned, teacher, w, rng, v, field, across, series, begin, n_sweeps):
    """Move one chain by ``n_sweeps`` chords; ``series`` takes its overlap with the teacher."""
    for k in range(n_sweeps):
        norm = 0.0
        for i in range(w.shape[0]):
            norm += w[i] * w[i]
        for i in range(w.shape[0]):
            w[i] /= math.sqrt(norm)
        for mu in range(aligned.shape[0]):
            total = 0.0
            for i in range(w.shape[0]):
                total += aligned[mu, i] * w[i]
            field[mu] = total
        _sweep(aligned, w, rng, v, field, across)
        overlap = 0.0
        for i in range(w.shape[0]):
            overlap += w[i] * teacher[i]
        series[begin + k] = overlap


@kernel
def learn(aligned, w, most):
    """Perceptron algorithm from ``w``; returns whether it came to make no error."""
    for _ in range(most):
        worst, least = 0, math.inf
        for mu in range(aligned.shape[0]):
            total = 0.0
            for i in range(w.shape[0]):
                total += aligned[mu, i] * w[i]
            if total < least:
                worst, least = mu, total
        if least > 0.0:
            return True
        for i in range(w.shape[0]):
            w[i] += aligned[worst, i]
    return False
