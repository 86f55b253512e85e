"""The peers of the perceptron benchmark: plain PyTorch training loops, written as users do.

A perceptron of ``nn.Linear`` layers on one-hot vectors of pairs, or with the first layer written as
two ``nn.Embedding`` tables, which is the faster habit; the same on real inputs; and a committee.
Automatic differentiation, and the optimisers of ``torch.optim``.
"""

import torch
from torch import nn

from phasegrok.networks.models import mlp


class Square(nn.Module):
    """The activation h^2."""

    def forward(self, h):
        """h^2."""
        return h * h


class Factor(nn.Module):
    """Multiplication by a number."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        """factor x."""
        return self.factor * x


class Tables(nn.Module):
    """First layer on pairs (n, 2): U_a + V_b."""

    def __init__(self, n: int, hidden: int):
        super().__init__()
        self.U, self.V = nn.Embedding(n, hidden), nn.Embedding(n, hidden)

    def forward(self, pairs):
        """(n, hidden)."""
        return self.U(pairs[:, 0]) + self.V(pairs[:, 1])


class Committee(nn.Module):
    """alpha/N sum_i phi(w_i . x) with phi(h) = h + (epsilon/2) h^2."""

    def __init__(self, inputs: int, hidden: int, epsilon: float, alpha: float):
        super().__init__()
        self.w = nn.Linear(inputs, hidden, bias=False)
        self.epsilon, self.alpha = epsilon, alpha

    def forward(self, x):
        """(n, 1)."""
        h = self.w(x)
        return self.alpha * (h + 0.5 * self.epsilon * h**2).mean(dim=1, keepdim=True)


def perceptron(system, tables: bool) -> nn.Module:
    """The module of a system, with or without tables for the one-hot inputs of pairs."""
    structure, p = system.structure, system.parameters
    if isinstance(system, mlp.Committee):
        return Committee(p.D, p.N, p.epsilon, p.alpha)
    phi = {"polynomial": Square, "tanh": nn.Tanh, "relu": nn.ReLU}[structure.activation]
    layers: list[nn.Module] = []
    for k, (before, after) in enumerate(zip(structure.units, structure.units[1:])):
        layers += [phi()] if k else []
        layers += [Tables(before // 2, after) if tables and not k
                   else nn.Linear(before, after, bias=structure.biases)]
        layers += [Factor(structure.scales[k])] if structure.scales[k] != 1.0 else []
    return nn.Sequential(*layers)


def load(model: nn.Module, system, theta, tables: bool) -> None:
    """Copy the weights of a system into its module."""
    values = [torch.from_numpy(v.copy()) for v in system.views(theta)]
    if system.structure.tables and not tables:
        values[:2] = [torch.cat(values[:2]).T]
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), values, strict=True):
            parameter.copy_(value)


class Peer:
    """A run of the plain full-batch step: model, data and optimiser."""

    def __init__(self, system, theta, tables, optimiser):
        self.model = perceptron(system, tables)
        load(self.model, system, theta, tables)
        self.optimiser = optimiser(self.model.parameters())
        self.x, self.y = (torch.from_numpy(v) for v in system.train)
        self.loss = nn.functional.mse_loss
        if system.structure.tables and not tables:
            n = system.parameters.elements
            self.x = nn.functional.one_hot(self.x, n).flatten(1).float()
        if system.loss == "cross-entropy":
            self.loss = nn.functional.cross_entropy
        elif system.structure.tables:
            self.y = nn.functional.one_hot(self.y).float()

    def step(self) -> float:
        """One full-batch step; returns the loss before it."""
        self.optimiser.zero_grad()
        loss = self.loss(self.model(self.x), self.y)
        loss.backward()
        self.optimiser.step()
        return loss.item()
