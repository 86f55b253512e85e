"""A network with its weights as a module of PyTorch, for work outside of this package."""

import numpy as np
import torch

from phasegrok.networks.kinds import pytorch_of
from phasegrok.networks.network import Network


class Module(torch.nn.Module):
    """The outputs of a network: logits of the classes, or those of a regression.

    Parameters are named and shaped as the matrices, so that ``state_dict()`` is a file of weights
    that ``training.start_from`` takes.

    Parameters
    ----------
    network : Network
    matrices : dict of arrays
        By the names of ``network.layout``; they are copied.
    """

    def __init__(self, network: Network, matrices: dict[str, np.ndarray]):
        super().__init__()
        self._network = network
        for name in network.layout:
            *path, last = name.split(".")  # of a module of a user's own
            owner: torch.nn.Module = self
            for part in path:
                if part not in dict(owner.named_children()):
                    owner.add_module(part, torch.nn.Module())
                owner = owner.get_submodule(part)
            owner.register_parameter(last, torch.nn.Parameter(torch.tensor(matrices[name])))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs (n, outputs) of inputs as in ``network.train.inputs``: pairs, or patterns."""
        network = self._network
        theta = torch.cat([self.get_parameter(name).reshape(-1) for name in network.layout])
        return pytorch_of(network).outputs(network, theta, inputs)
