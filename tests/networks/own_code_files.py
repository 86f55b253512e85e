"""Files of a user's own that tests write: a card, networks, updates, schedules and observables."""

CARD = """
name = "mine"
title = "A network of my own"
kind = "{kind}"
code = "my_net.py:{name}"
reference = "none"
[parameters]
{parameters}
[observables]
energy = "loss"
order_parameter = "accuracy"
[training]
engine = "torch"
lr = 1e-2
{training}
"""

NET = '''
import torch
from torch import nn


class Squares(nn.Module):
    """Logits W_2 (U_a + V_b)^2: modular-mlp with one hidden layer."""

    def __init__(self, elements: int, width: int = 16):
        super().__init__()
        self.U = nn.Parameter(torch.empty(elements, width).uniform_(-0.3, 0.3))
        self.V = nn.Parameter(torch.empty(elements, width).uniform_(-0.3, 0.3))
        self.W_2 = nn.Parameter(torch.empty(elements, width).uniform_(-0.3, 0.3))

    def forward(self, inputs):
        return (self.U[inputs[:, 0]] + self.V[inputs[:, 1]]) ** 2 @ self.W_2.T


class Fast(Squares):
    compiled = "my_kernels.py"


class Flat:
    """The same without PyTorch modules."""

    def __init__(self, elements: int, width: int = 16):
        self.shapes = {name: (elements, width) for name in ("U", "V", "W_2")}

    def initial(self, rng):
        return rng.uniform(-0.3, 0.3, sum(a * b for a, b in self.shapes.values()))

    def scores(self, theta, inputs, targets):
        U, V, W_2 = (x.reshape(self.shapes["U"]) for x in theta.chunk(3))
        logits = (U[inputs[:, 0]] + V[inputs[:, 1]]) ** 2 @ W_2.T
        loss = nn.functional.cross_entropy(logits, targets, reduction="none")
        return loss, (logits.argmax(1) == targets).double()


class Student(nn.Module):
    """Two tanh layers on a teacher's outputs, with a buffer and a matrix that is not trained."""

    def __init__(self, inputs, outputs, width: int = 7):
        super().__init__()
        self.first = nn.Linear(inputs, width)
        self.last = nn.Linear(width, outputs, bias=False)
        self.last.weight.requires_grad_(False)
        self.register_buffer("scale", torch.full((1,), 0.5))

    def forward(self, inputs):
        return self.last(torch.tanh(self.scale * self.first(inputs)))


class Blobs(nn.Module):
    """A line between two classes of points that it draws itself."""

    def __init__(self, inputs, elements):
        super().__init__()
        self.line = nn.Linear(inputs, elements)

    @staticmethod
    def data(rng, n: int = 30, distance: float = 6.0):
        labels = rng.integers(0, 2, 2 * n)
        x = rng.standard_normal((2 * n, 3)) + distance * labels[:, None]
        return x[:n], labels[:n], x[n:], labels[n:]

    def forward(self, inputs):
        return self.line(inputs)


class Tanh:
    pass


class Dropping(Squares):
    def forward(self, inputs):
        return nn.functional.dropout(super().forward(inputs), 0.1)


class Infinite(Squares):
    def forward(self, inputs):
        return super().forward(inputs) / 0.0


class Normed(Squares):
    def __init__(self, elements: int):
        super().__init__(elements)
        self.norm = nn.BatchNorm1d(elements, track_running_stats=False)

    def forward(self, inputs):
        return self.norm(super().forward(inputs))


class Tracking(Normed):
    def __init__(self, elements: int):
        super().__init__(elements)
        self.norm = nn.BatchNorm1d(elements)


class Wide(Squares):
    def forward(self, inputs):
        return super().forward(inputs)[:, 1:]


class Branching(Squares):
    def forward(self, inputs):
        f = super().forward(inputs)
        return f if f.sum() > 0 else 2.0 * f
'''

KERNELS = '''
"""Compiled kernels of Squares: weights are the flat vector U, V, W_2."""

from typing import NamedTuple

import numpy as np

from phasegrok.networks.compiled.kernels import inner


class Workspace(NamedTuple):
    n: int  # elements
    width: int
    sums: np.ndarray  # (width,) U_a + V_b
    logits: np.ndarray  # (n,)


def workspace(system):
    n, width = system.layout["U"][1]
    return Workspace(n, width, np.zeros(width, system.dtype), np.zeros(n))


@inner
def _pair(theta, data, i, work):
    """Loss, and 1 where the right class wins; logits become probabilities."""
    n, width = work.n, work.width
    for k in range(width):
        work.sums[k] = theta[data.a[i] * width + k] + theta[(n + data.b[i]) * width + k]
    for c in range(n):
        work.logits[c] = 0.0
        for k in range(width):
            work.logits[c] += theta[(2 * n + c) * width + k] * work.sums[k] * work.sums[k]
    right, highest, other = work.logits[data.labels[i]], -np.inf, -np.inf
    for c in range(n):
        highest = max(highest, work.logits[c])
        if c != data.labels[i]:
            other = max(other, work.logits[c])
    total = 0.0
    for c in range(n):
        work.logits[c] = np.exp(work.logits[c] - highest)
        total += work.logits[c]
    for c in range(n):
        work.logits[c] /= total
    return highest + np.log(total) - right, 1.0 if right > other else 0.0


@inner
def losses_inner(w, data, work):
    loss, order, m = 0.0, 0.0, len(data.labels)
    for i in range(m):
        found = _pair(w.theta, data, i, work)
        loss += found[0] / m
        order += found[1] / m
    return loss, order


@inner
def losses_from_tables(w, data, work):
    return losses_inner(w, data, work)


@inner
def energy_and_gradient_inner(w, g, data, work):
    theta, n, width = w.theta, work.n, work.width
    loss, order, m = 0.0, 0.0, len(data.labels)
    for j in range(len(theta)):
        g.theta[j] = 0.0
    for i in range(m):
        found = _pair(theta, data, i, work)
        loss += found[0] / m
        order += found[1] / m
        for c in range(n):
            slope = (work.logits[c] - (1.0 if c == data.labels[i] else 0.0)) / m
            for k in range(width):
                h = work.sums[k]
                g.theta[(2 * n + c) * width + k] += slope * h * h
                back = 2.0 * slope * theta[(2 * n + c) * width + k] * h
                g.theta[data.a[i] * width + k] += back
                g.theta[(n + data.b[i]) * width + k] += back
    return loss, order
'''

UPDATES = '''
import torch


class Lion(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            lr, (beta1, beta2) = group["lr"], group["betas"]
            for w in group["params"]:
                m = self.state[w].setdefault("m", torch.zeros_like(w))
                w.mul_(1.0 - lr * group["weight_decay"])
                w.sub_(lr * m.lerp(w.grad, 1.0 - beta1).sign())
                m.lerp_(w.grad, 1.0 - beta2)


class StackedLion(Lion):
    elementwise = True


class Clipped(torch.optim.Optimizer):
    """Descent by the gradient of length one at most: it couples all weights."""

    def __init__(self, params, lr, most=1.0):
        super().__init__(params, dict(lr=lr, most=most))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            length = sum(w.grad.square().sum() for w in group["params"]).sqrt()
            for w in group["params"]:
                w.sub_(group["lr"] * w.grad * (group["most"] / length).clamp(max=1.0))


class Wrong(Clipped):
    elementwise = True


class Assigning(torch.optim.SGD):
    """It gives parameters other memory."""

    def step(self):
        super().step()
        for w in self.param_groups[0]["params"]:
            w.data = w.data.clone()


class SAM(torch.optim.Optimizer):
    closure = True

    def __init__(self, params, lr, weight_decay=0.0, momentum=0.9, rho=0.05):
        super().__init__(params, dict(lr=lr, wd=weight_decay, momentum=momentum, rho=rho))

    @torch.no_grad()
    def step(self, closure=None):
        (group,) = self.param_groups
        here = [w.clone() for w in group["params"]]
        length = sum(w.grad.double().square().sum() for w in group["params"]).sqrt() + 1e-12
        for w in group["params"]:
            w.add_(group["rho"] / length * w.grad)
        closure()
        for w, old in zip(group["params"], here):
            w.copy_(old)
            m = self.state[w].setdefault("m", torch.zeros_like(w))
            m.mul_(group["momentum"]).add_(w.grad + group["wd"] * w)
            w.sub_(group["lr"] * m)


class Double(torch.optim.Optimizer):
    """Momentum that is summed in float64, whatever the weights are."""

    def __init__(self, params, lr):
        super().__init__(params, dict(lr=lr))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for w in group["params"]:
                s = self.state[w]
                s["sum"] = 0.9 * s.get("sum", torch.zeros_like(w).double()) + w.grad / 3.0
                w.sub_(group["lr"] * s["sum"])


class Hoarding(torch.optim.SGD):
    def step(self):
        super().step()
        for w in self.param_groups[0]["params"]:
            self.state[w]["f"] = Hoarding


def warm_restarts(k, settings):
    return 0.5 * (1.0 + torch.cos(torch.pi * torch.tensor(k % 20) / 20.0)).numpy()


def by_length(k, settings):
    return k / len(k)


def negative(k, settings):
    return -1.0 - k


def scalar(k, settings):
    return 1.0


def cosine(k, settings):
    import numpy as np
    done = np.clip((k - settings.warmup) / (settings.steps - settings.warmup), 0.0, 1.0)
    return 0.5 * (1.0 + np.cos(np.pi * done))


def norm(network, theta):
    """root of the sum of squares"""
    return float((theta**2).sum() ** 0.5)


def test_norm(network, theta):
    return float(len(network.test.targets))


norm.unit = "weight"


def writing(network, theta):
    theta[0] = 0.0
    return 1.0


def vector(network, theta):
    return theta
'''
