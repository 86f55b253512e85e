"""AdamW, and Adam with the decay in the gradient.

One step k -> k + 1 of the weights theta, with the gradient g (Loshchilov and Hutter, arXiv
1711.05101, algorithm 2, in the form of ``torch.optim.AdamW``):

    theta <- (1 - lr_k wd) theta
    m     <- beta_1 m + (1 - beta_1) g,      v <- beta_2 v + (1 - beta_2) g^2
    theta <- theta - lr_k m / (1 - beta_1^(k+1)) / (sqrt(v / (1 - beta_2^(k+1))) + epsilon)

``adam`` adds wd theta to g and has no decay of its own (``torch.optim.Adam``).
"""

import numpy as np

from phasegrok.networks.compiled.kernels import inner

# Moments and weights below this are set to zero.  Those of a weight without gradient decay for
# ever, and below 1e-38 a float32 is denormal, which slows every step several times; moments are nil
# beside epsilon, and weights in any sum.
_NIL = 1e-30


@inner
def adamw_step(theta, g, m, v, k, lr, wd, beta_1, beta_2, epsilon):
    """Step k -> k + 1 of AdamW on flat arrays, in place (equations at the head of the module).

    Returns
    -------
    n_broken : int
        Number of weights that are not finite afterwards.
    """
    real = theta.dtype.type
    shrink, rate = real(1.0 - lr * wd), real(lr / (1.0 - beta_1 ** (k + 1.0)))
    b_1, c_1, b_2, c_2 = real(beta_1), real(1.0 - beta_1), real(beta_2), real(1.0 - beta_2)
    root, eps = real(1.0 / np.sqrt(1.0 - beta_2 ** (k + 1.0))), real(epsilon)
    nil, zero = real(_NIL), real(0.0)
    n_broken = 0
    for i in range(theta.shape[0]):
        m_i = b_1 * m[i] + c_1 * g[i]
        v_i = b_2 * v[i] + c_2 * g[i] * g[i]
        m_i = zero if abs(m_i) < nil else m_i
        v_i = zero if v_i < nil else v_i
        x = shrink * theta[i] - rate * m_i / (root * np.sqrt(v_i) + eps)
        m[i] = m_i
        v[i] = v_i
        theta[i] = zero if abs(x) < nil else x
        n_broken += x - x != zero
    return n_broken
