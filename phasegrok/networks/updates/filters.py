"""Filters that amplify the slow part of the gradient.

Grokfast (Lee et al., arXiv 2405.20233, algorithms 1 and 2, and the authors' code,
github.com/ironjr/grokfast):

    EMA:  mu <- alpha mu + (1 - alpha) g, with mu = g at step 0;    g <- g + lambda mu
    MA:   mu = mean of the last w gradients, this one included;     g <- g + lambda mu

The moving average leaves the gradient as it is before there are w of them (the code's "warm-up").
``State.mu`` is the exponential average, or the sum of ``State.window``, whose row k mod w is the
gradient of step k; in float64, so that what is left of a large gradient that was added and taken
away is below the rounding of float32.
"""

from typing import NamedTuple

import numpy as np

from phasegrok.systems.discrete import behaviour

_NIL = 1e-300  # averages below are set to zero: denormal numbers would slow every step


class Unfiltered(NamedTuple):
    """The gradient as it is."""

    strength: float = 0.0


class EMA(NamedTuple):
    """The exponential moving average of the gradient, added ``strength`` (lambda) times."""

    alpha: float
    strength: float


class MA(NamedTuple):
    """The mean of the last gradients, added ``strength`` (lambda) times."""

    strength: float


def filter_of(settings) -> Unfiltered | EMA | MA:
    """The filter that settings of training name; its strength is by default the authors' code's."""
    s, strength = settings, settings.filter_lambda
    if s.filter == "ema":
        return EMA(s.filter_alpha, 2.0 if strength is None else strength)
    if s.filter == "ma":
        return MA(5.0 if strength is None else strength)
    return Unfiltered()


@behaviour(Unfiltered, "filter_gradient")
def _leave(filter_, g, state, k):
    pass


@behaviour(EMA, "filter_gradient")
def _add_ema(filter_, g, state, k):
    real, mu = g.dtype.type, state.mu
    keep, add = (filter_.alpha, 1.0 - filter_.alpha) if k > 0 else (0.0, 1.0)
    for i in range(g.shape[0]):
        mu_i = keep * mu[i] + add * g[i]
        mu_i = 0.0 if abs(mu_i) < _NIL else mu_i
        mu[i] = mu_i
        g[i] = real(g[i] + filter_.strength * mu_i)


@behaviour(MA, "filter_gradient")
def _add_ma(filter_, g, state, k):
    real, mu, w = g.dtype.type, state.mu, state.window.shape[0]
    row = state.window[k % w]
    scale = filter_.strength / w if k + 1 >= w else 0.0
    for i in range(g.shape[0]):
        total = mu[i] + (np.float64(g[i]) - np.float64(row[i]))  # rows are zero at first
        mu[i] = total
        row[i] = g[i]
        g[i] = real(g[i] + scale * total)


def tensor_filter(filter_: Unfiltered | EMA | MA, at) -> None:
    """The same of all replicas of a ``stack_torch.Stack``."""
    if isinstance(filter_, EMA):
        keep = filter_.alpha * (at.k > 0).double()
        at.mu.copy_(keep * at.mu + (1.0 - keep) * at.g)
        at.g.copy_(at.g + filter_.strength * at.mu)
    elif isinstance(filter_, MA):
        w = at.window.shape[1]
        place = (at.k % w).reshape(1)
        row = at.window.index_select(1, place)[:, 0]
        at.mu += at.g.double() - row.double()
        at.window.index_copy_(1, place, at.where_alive(at.g, row)[:, None])
        scale = filter_.strength / w * (at.k + 1 >= w).double()
        at.g.copy_(at.g + scale * at.mu)
