"""Gradient descent with momentum, and decay in the gradient (``torch.optim.SGD``).

    g <- g + wd theta,    m <- momentum m + g,    theta <- theta - lr m
"""

from phasegrok.networks.compiled.kernels import inner


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
