"""The two-layer decoder in PyTorch: the same function of the same flat vector theta.

Every position of every sequence is computed under the causal mask, as published; written for
reading and for gradient tests.  The compiled engine is ``compiled/decoder.py``.
"""

import functools
import math

import torch
from torch.nn.functional import layer_norm

from phasegrok.networks.models.decoder import NORM_EPSILON, Layer, ModularDecoder, positions
from phasegrok.networks.pytorch import transformer as transformer_torch


def _layer(w: Layer, x: torch.Tensor) -> torch.Tensor:
    """One layer on residual vectors x (n, 4, d)."""
    _, d_head, d = w.W_Q.shape
    q, k, v = (torch.einsum("hkd,ntd->nhtk", W, x) for W in (w.W_Q, w.W_K, w.W_V))
    future = torch.ones(4, 4, dtype=torch.bool, device=x.device).triu(1)
    scores = (q @ k.transpose(-1, -2) / math.sqrt(d_head)).masked_fill(future, -math.inf)
    mixed = (torch.softmax(scores, dim=-1) @ v).transpose(1, 2).reshape(len(x), 4, d)
    a = layer_norm(x + mixed @ w.W_O, (d,), w.gain_attention, w.bias_attention, NORM_EPSILON)
    y = a + torch.relu(a @ w.W_in) @ w.W_out
    return layer_norm(y, (d,), w.gain_mlp, w.bias_mlp, NORM_EPSILON)


def residuals(
    system: ModularDecoder, theta: torch.Tensor, pairs: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Residual vectors after the first and after the second layer, each (n, 4, d).

    Parameters
    ----------
    system : ModularDecoder
    theta : (n_parameters,) tensor
    pairs : (n, 2) int64 tensor on the same device
    """
    w, n = system.matrices(theta), system.parameters.elements
    a, b = pairs[:, :1], pairs[:, 1:]
    tokens = torch.cat([a, torch.full_like(a, n), b, torch.full_like(a, n + 1)], dim=1)
    # made on the device: a step that is captured as a CUDA graph may not copy from the host
    where = positions(w.W_E.shape[1], torch, device=theta.device).to(theta.dtype)
    first = _layer(w.first, transformer_torch.rows(w.W_E, tokens) + where)
    return first, _layer(w.second, first)


def logits(system: ModularDecoder, theta: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """Logits of the classes at "=", (n, elements); arguments as ``residuals``."""
    return residuals(system, theta, pairs)[1][:, -1] @ system.matrices(theta).W_U


outputs = logits  # as all networks call them


def scores(system, theta, inputs, targets, variance=None):
    """Loss and order parameter of each pair: ``transformer_torch.class_scores``."""
    return transformer_torch.class_scores(logits(system, theta, inputs), targets)


def energy(
    system: ModularDecoder, theta: torch.Tensor, inputs: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Energy of the weights: mean cross-entropy of the data in nats, a float64 scalar tensor."""
    return transformer_torch.cross_entropy(logits(system, theta, inputs), targets).mean()


energy_and_gradient = functools.partial(transformer_torch.energy_and_gradient, energy=energy)


def accuracy(
    system: ModularDecoder, theta: torch.Tensor, inputs: torch.Tensor, targets: torch.Tensor
) -> float:
    """Share of the pairs whose right class has the largest logit."""
    with torch.no_grad():
        return scores(system, theta, inputs, targets)[1].mean().item()
