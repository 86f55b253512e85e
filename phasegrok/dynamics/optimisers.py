"""What the optimisers of the grokking literature do to a gradient and to the weights, in kernels.

They work on flat arrays, in place, within the step k -> k + 1 of ``phasegrok.dynamics.trainer``, in
this order; g is the gradient of the energy, theta the weights.

A filter that amplifies the slow part of the gradient (Grokfast: Lee et al., arXiv 2405.20233,
algorithms 1 and 2, and the authors' code, github.com/ironjr/grokfast):

    EMA:  mu <- alpha mu + (1 - alpha) g, with mu = g at step 0;    g <- g + lambda mu
    MA:   mu = mean of the last w gradients, this one included;     g <- g + lambda mu

The moving average leaves the gradient as it is before there are w of them (the code's "warm-up").

The update, with lr the rate of this step (warm-up) and wd the weight decay:

    adamw:  decoupled, the step of ``trainer.adamw_step``
    adam:   g <- g + wd theta, then the same step without decay (``torch.optim.Adam``)
    sgd:    g <- g + wd theta, m <- momentum m + g, theta <- theta - lr m (``torch.optim.SGD``)

And training at a fixed norm (Omnigrok: Liu et al., arXiv 2210.01117, sec. 3): after the step, and
after the noise, theta is scaled back to the norm of its start.
"""

import numpy as np

from phasegrok.systems.network_kernels import inner

OPTIMISERS = ("adamw", "adam", "sgd", "baoab", "ghmc", "wand")  # the scheme is the place here
ADAMW, ADAM, SGD, BAOAB, GHMC, WAND = range(6)
VELOCITIES = ("baoab", "ghmc", "wand")  # updates with velocities, in ``State.m``
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


@inner
def add_decay(theta, g, wd):
    """Coupled weight decay: the gradient of wd |theta|^2 / 2."""
    wd = theta.dtype.type(wd)
    for i in range(theta.shape[0]):
        g[i] += wd * theta[i]


@inner
def sgd_step(theta, g, m, lr, momentum):
    """Stochastic gradient descent with momentum; returns how many weights are not finite."""
    real = theta.dtype.type
    lr, momentum, nil, zero = real(lr), real(momentum), real(1e-30), real(0.0)
    n_broken = 0
    for i in range(theta.shape[0]):
        m_i = momentum * m[i] + g[i]
        m_i = zero if abs(m_i) < nil else m_i
        x = theta[i] - lr * m_i
        m[i] = m_i
        theta[i] = zero if abs(x) < nil else x
        n_broken += x - x != zero
    return n_broken


@inner
def norm_of(theta):
    """Euclidean norm, summed in float64."""
    total = 0.0
    for i in range(theta.shape[0]):
        total += np.float64(theta[i]) * np.float64(theta[i])
    return np.sqrt(total)


@inner
def rescale(theta, norm):
    """Scale the weights to a norm; returns how many are not finite."""
    factor = norm / norm_of(theta)
    real = theta.dtype.type
    n_broken = 0
    for i in range(theta.shape[0]):
        x = real(factor * theta[i])
        theta[i] = x
        n_broken += x - x != 0
    return n_broken
