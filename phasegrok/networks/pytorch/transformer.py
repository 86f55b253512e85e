"""The one-layer transformer in PyTorch: the same function of the same flat vector theta.

Written for reading and for gradient tests (autograd of the plain forward pass, any device), and for
runs on a GPU; the compiled engine is ``compiled/transformer.py``.
"""

import math

import numpy as np
import torch

from phasegrok.networks.models.transformer import ModularTransformer


def logits(system: ModularTransformer, theta: torch.Tensor, pairs: torch.Tensor) -> torch.Tensor:
    """Logits of the classes at "=", Nanda et al. (arXiv 2301.05217).

    Parameters
    ----------
    system : ModularTransformer
    theta : (n_parameters,) tensor
    pairs : (n, 2) int64 tensor on the same device

    Returns
    -------
    logits : (n, elements) tensor
    """
    w = system.matrices(theta)
    n, (heads, d_head, _) = system.parameters.elements, w.W_Q.shape
    # only "=" asks, it is the last position, so that the causal mask hides nothing from it, and it
    # is the same for all pairs: scores and values of a and of b are tables over the elements
    equals = w.W_E[n] + w.W_pos[2]
    query = torch.einsum("hkd,d->hk", w.W_Q, equals) / math.sqrt(d_head)
    asks = torch.einsum("hk,hkd->hd", query, w.W_K)
    W_V = w.W_V.reshape(heads * d_head, -1)
    both = torch.cat([asks, W_V])  # a residual vector to its scores and its values
    table_a, table_b = ((w.W_E[:n] + w.W_pos[t]) @ both.T for t in (0, 1))
    found = [rows(table_a, pairs[:, 0]), rows(table_b, pairs[:, 1]), both @ equals]
    score, value = zip(*(x.split([heads, heads * d_head], dim=-1) for x in found))
    A = torch.softmax(torch.stack(torch.broadcast_tensors(*score), dim=1), dim=1)
    mixed = sum(A[:, t, :, None] * x.unflatten(-1, (heads, d_head)) for t, x in enumerate(value))
    residual = equals + mixed.flatten(1) @ w.W_O
    hidden = torch.relu(residual @ w.W_in + w.b_in)
    return (residual + hidden @ w.W_out + w.b_out) @ w.W_U


outputs = logits  # as all networks call them


def rows(table: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """Rows of a table, as a product with zeros and ones.

    The gradient of indexing adds many rows into one, which a GPU does one after the other; that of
    a product is a product.
    """
    chosen = index[..., None] == torch.arange(len(table), device=index.device)
    return chosen.to(table.dtype) @ table


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each row, (n,) float64: ln(1 + exp(delta)), the right class kept apart.

    delta = logsumexp of the wrong classes - right logit; unlike logsumexp over all classes the
    gradient survives in float32 when the wrong classes are below the rounding of one
    (arXiv 2501.04697).
    """
    right = logits.gather(1, labels[:, None])
    wrong = logits.scatter(1, labels[:, None], -math.inf)
    return torch.nn.functional.softplus(
        (torch.logsumexp(wrong, dim=1) - right[:, 0]).double(), threshold=1e3
    )


def class_scores(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross-entropy of each row, and 1 where the right class has the largest logit, else 0."""
    right = logits.gather(1, labels[:, None])
    others = logits.scatter(1, labels[:, None], -math.inf).amax(dim=1, keepdim=True)
    return cross_entropy(logits, labels), (right > others)[:, 0].double()


def scores(system, theta, inputs, targets, variance=None):
    """Loss and order parameter of each pair, two (n,) float64 tensors, as :func:`class_scores`."""
    return class_scores(logits(system, theta, inputs), targets)


def energy(
    system: ModularTransformer, theta: torch.Tensor, inputs: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """Energy of the weights: mean cross-entropy of the data in nats, a float64 scalar tensor."""
    return cross_entropy(logits(system, theta, inputs), targets).mean()


def energy_and_gradient(
    system: ModularTransformer,
    theta: np.ndarray,
    inputs: np.ndarray,
    targets: np.ndarray,
    device: str | torch.device = "cpu",
    energy=energy,
) -> tuple[float, np.ndarray]:
    """Energy and its gradient in theta by automatic differentiation.

    Parameters
    ----------
    system : ModularTransformer
    theta : (n_parameters,) array; its type is the precision of the calculation
    inputs, targets : arrays
        Of a ``Data``, or some of its rows.
    device : torch device
    energy : callable
        The energy that is differentiated; that of the one-layer transformer if not given.

    Returns
    -------
    energy : float
        Mean cross-entropy in nats.
    gradient : (n_parameters,) array of theta's type
    """
    weights = torch.tensor(theta, device=device, requires_grad=True)
    x, y = (torch.tensor(v, device=device) for v in (inputs, targets))
    E = energy(system, weights, x, y)
    (gradient,) = torch.autograd.grad(E, weights)
    return E.item(), gradient.cpu().numpy()


def accuracy(
    system: ModularTransformer, theta: torch.Tensor, inputs: torch.Tensor, targets: torch.Tensor
) -> float:
    """Share of the pairs whose right class has the largest logit."""
    with torch.no_grad():
        return scores(system, theta, inputs, targets)[1].mean().item()
