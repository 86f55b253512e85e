"""Filters that amplify the slow part of the gradient.

Grokfast (Lee et al., arXiv 2405.20233, algorithms 1 and 2, and the authors' code,
github.com/ironjr/grokfast):

    EMA:  mu <- alpha mu + (1 - alpha) g, with mu = g at step 0;    g <- g + lambda mu
    MA:   mu = mean of the last w gradients, this one included;     g <- g + lambda mu

The moving average leaves the gradient as it is before there are w of them (the code's "warm-up").
"""

import numpy as np

from phasegrok.networks.compiled.kernels import inner

FILTERS = ("none", "ema", "ma")
NO_FILTER, EMA, MA = range(3)
LAMBDA = {"none": 0.0, "ema": 2.0, "ma": 5.0}  # defaults of the authors' code
_NIL = 1e-300  # averages below are set to zero: denormal numbers would slow every step


@inner
def filter_gradient(kind, g, mu, window, k, alpha, strength):
    """Add ``strength`` times the slow part of the gradients up to that of step k to ``g``.

    Parameters
    ----------
    kind : int
        EMA or MA.
    g : (n,) array
        Changed in place.
    mu : (n,) float64 array
        The exponential average, or the sum of ``window``: in float64, so that what is left of
        a large gradient that was added and taken away is below the rounding of float32.
    window : (w, n) array
        The last w gradients, that of step k in row k mod w; of no rows for EMA.
    """
    real = g.dtype.type
    if kind == EMA:
        keep, add = (alpha, 1.0 - alpha) if k > 0 else (0.0, 1.0)
        for i in range(g.shape[0]):
            mu_i = keep * mu[i] + add * g[i]
            mu_i = 0.0 if abs(mu_i) < _NIL else mu_i
            mu[i] = mu_i
            g[i] = real(g[i] + strength * mu_i)
        return
    if kind != MA:
        raise ValueError("no kernel of this filter: write it in optimisers.filter_gradient")
    w = window.shape[0]
    row = window[k % w]
    scale = strength / w if k + 1 >= w else 0.0
    for i in range(g.shape[0]):
        total = mu[i] + (np.float64(g[i]) - np.float64(row[i]))  # rows are zero at first
        mu[i] = total
        row[i] = g[i]
        g[i] = real(g[i] + scale * total)
