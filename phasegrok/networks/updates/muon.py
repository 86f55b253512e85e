"""Muon: momentum of hidden matrices, made orthogonal; AdamW for all other weights.

Jordan et al., kellerjordan.github.io/posts/muon (2024), as ``torch.optim.Muon``, with the step
length of Liu et al., arXiv 2502.16982, eq. 4, at which one rate fits all weights.  For a hidden
matrix W of A x B (``Network.hidden``; the heads of a projection are one matrix):

    m <- mu m + (1 - mu) g,     O = NS((1 - mu) g + mu m),
    W <- (1 - lr_k wd) W - 0.2 sqrt(max(A, B)) lr_k O + sqrt(2 lr_k T) xi

NS is five steps X <- a X + b (X X^T) X + c (X X^T)^2 X from X / |X|, (a, b, c) = (3.4445, -4.7750,
2.0315), which bring the singular values near to one.  Embeddings, the readout, gains and biases
follow AdamW (``updates.adamw``).
"""

import math
from typing import NamedTuple

from phasegrok.networks.updates.adamw import tensor_adaptive_step
from phasegrok.networks.updates.common import add_tensor_noise

_A, _B, _C = 3.4445, -4.7750, 2.0315
_STEPS, _NIL = 5, 1e-7


class Muon(NamedTuple):
    """Settings of Muon; ``beta1``, ``beta2`` and ``epsilon`` are AdamW's."""

    weight_decay: float
    momentum: float = 0.95
    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8


def tensor_step(update, at) -> None:
    """A step of all replicas of a ``stack_torch.Stack``."""
    at.theta *= 1.0 - at.lr * update.weight_decay
    hidden = [(name, *at.system.layout[name]) for name in at.system.hidden]
    parts = [slice(offset, offset + math.prod(shape)) for _, offset, shape in hidden]
    kept = [(at.theta[:, part].clone(), at.m[:, part].clone()) for part in parts]
    tensor_adaptive_step(update, at)  # of all weights: those of hidden matrices are put back
    for (_, _, shape), part, (theta, m) in zip(hidden, parts, kept):
        g, rows, columns = at.g[:, part], math.prod(shape[:-1]), shape[-1]
        m.lerp_(g, 1.0 - update.momentum)
        turn = orthogonal(g.lerp(m, update.momentum).reshape(-1, rows, columns)).flatten(1)
        at.theta[:, part] = theta - 0.2 * math.sqrt(max(rows, columns)) * at.lr * turn
        at.m[:, part] = m
    add_tensor_noise(at)


def orthogonal(x):
    """NS of matrices x (R, A, B), each nearly U V^T of its singular value decomposition."""
    if x.shape[1] > x.shape[2]:
        return orthogonal(x.mT).mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=_NIL)
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return x
