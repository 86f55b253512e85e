"""Multilayer perceptrons in PyTorch: the same function of the same flat vector theta.

Written for reading, for gradient tests and for runs on a GPU.  All works under ``torch.func.vmap``
over a leading axis of theta, for replicas side by side; the compiled engine is ``compiled/mlp.py``.
"""

import functools

import torch

from phasegrok.networks.models.mlp import MLP, Structure
from phasegrok.networks.pytorch import transformer as transformer_torch


def _activation(structure: Structure, h: torch.Tensor) -> torch.Tensor:
    if structure.activation == "polynomial":
        linear, square = structure.polynomial
        return linear * h + square * h * h
    return {"relu": torch.relu, "tanh": torch.tanh}[structure.activation](h)


def outputs(system: MLP, theta: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Outputs f of the last layer, ``mlp``'s equations.

    Parameters
    ----------
    system : MLP
    theta : (n_parameters,) tensor
    inputs : (n, 2) int64 tensor of pairs, or (n, D) tensor of theta's type

    Returns
    -------
    f : (n, outputs) tensor; logits of the classes for a task on pairs
    """
    w, structure = dict(zip(system.layout, system.views(theta))), system.structure
    z = inputs
    for layer, scale in enumerate(structure.scales, start=1):
        if layer == 1 and structure.tables:
            h = w["U"][z[:, 0]] + w["V"][z[:, 1]]
        elif f"W_{layer}" in w:
            h = z @ w[f"W_{layer}"].T
        else:
            h = z.sum(1, keepdim=True)  # a committee
        h = scale * h + w[f"b_{layer}"] if structure.biases else scale * h
        z = _activation(structure, h) if layer < len(structure.scales) else h
    return z


def scores(system: MLP, theta: torch.Tensor, inputs: torch.Tensor, targets: torch.Tensor,
           variance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and order parameter of each pattern, two (n,) float64 tensors.

    The order parameter is that of ``transformer_torch.class_scores``, or in a regression one less
    the loss over the variance of the targets, so that its mean is the explained variance.

    Parameters
    ----------
    system : MLP
    theta : (n_parameters,) tensor
    inputs : as for ``outputs``
    targets : (n,) int64 tensor of labels, or (n, outputs) tensor of targets
    variance : tensor
        Of the targets, mean over the outputs; not used for pairs.
    """
    f = outputs(system, theta, inputs)
    return scores_of_outputs(f, targets, system.loss, variance)


def scores_of_outputs(f: torch.Tensor, targets: torch.Tensor, loss: str,
                      variance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and order parameter of each row of outputs, two (n,) float64 tensors.

    Parameters
    ----------
    f : (n, outputs) tensor
        Logits of the classes, where targets are labels.
    targets : (n,) int64 tensor of labels, or (n, outputs) tensor of targets
    loss : str
        A key of ``network.LOSSES``.
    variance : tensor
        Of real targets, mean over the outputs.
    """
    if targets.is_floating_point():
        error = (f - targets).double().square().mean(dim=1)
        return error, 1.0 - error / variance
    entropy, right = transformer_torch.class_scores(f, targets)
    if loss != "mse":
        return entropy, right
    labels = torch.nn.functional.one_hot(targets, f.shape[1])
    return (f - labels).double().square().mean(dim=1), right


def energy(system: MLP, theta: torch.Tensor, inputs: torch.Tensor,
           targets: torch.Tensor) -> torch.Tensor:
    """Energy of the weights: mean loss of the data, a float64 scalar tensor.

    Arguments as :func:`scores`.
    """
    return scores(system, theta, inputs, targets, torch.ones((), device=theta.device))[0].mean()


energy_and_gradient = functools.partial(transformer_torch.energy_and_gradient, energy=energy)


def accuracy(system: MLP, theta: torch.Tensor, inputs: torch.Tensor,
             targets: torch.Tensor) -> torch.Tensor:
    """Accuracy, or the explained variance of a regression: a float64 scalar tensor."""
    variance = targets.double().var(dim=0, correction=0).mean()
    return scores(system, theta, inputs, targets, variance)[1].mean()
