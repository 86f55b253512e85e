"""Weights under published optimisers, to which phasegrok's own are compared.

    pip install lion-pytorch==0.2.5 pytorch-optimizer==4.1.0
    python data/reference/make_updates.py

Twenty steps in float64 on all pairs of a small multilayer perceptron: Lion of lion-pytorch (the
implementation that arXiv 2302.06675 links), and SAM of pytorch-optimizer (that of
github.com/davda54/sam) with torch.optim.SGD as its base.  Weights begin at 0.4 sin(1 + 3 i).
Writes updates.json.
"""

import json
from pathlib import Path

import numpy as np
import torch
from lion_pytorch import Lion
from pytorch_optimizer import SAM

from phasegrok.networks.models.mlp import Parameters
from phasegrok.networks.pytorch import mlp

NETWORK = dict(operation="-", p=5, train_fraction=0.6, hidden=[3], precision="float64")
STEPS = 20


def lion(theta, gradient):
    """Lion at its published betas."""
    optimiser = Lion([theta], lr=2e-3, betas=(0.9, 0.99), weight_decay=0.5)
    for _ in range(STEPS):
        gradient()
        optimiser.step()


def sam(theta, gradient):
    """SAM with momentum and decay."""
    optimiser = SAM([theta], torch.optim.SGD, rho=0.3, lr=0.05, momentum=0.8, weight_decay=0.01)
    for _ in range(STEPS):
        gradient()
        optimiser.step(gradient)


def main():
    """Train with each, and write where it arrives."""
    system = Parameters(**NETWORK).build()
    inputs, targets = map(torch.tensor, system.train)
    start = 0.4 * np.sin(1.0 + 3.0 * np.arange(system.n_parameters))
    found = {}
    for name, train in (("lion", lion), ("sam", sam)):
        theta = torch.tensor(start, requires_grad=True)

        def gradient(theta=theta):
            theta.grad = None
            energy = mlp.energy(system, theta, inputs, targets)
            energy.backward()
            return energy

        train(theta, gradient)
        found[name] = theta.detach().tolist()
    text = json.dumps({"network": NETWORK, "steps": STEPS, **found})
    Path(__file__).with_name("updates.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
