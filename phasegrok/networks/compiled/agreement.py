"""Whether the compiled kernels of a network are the function that PyTorch has of it."""

import numpy as np

from phasegrok.networks import engine
from phasegrok.networks.kinds import pytorch_of
from phasegrok.networks.network import Network
from phasegrok.networks.training import kernel as trainer
from phasegrok.networks.training.settings import Settings
from phasegrok.rng import streams


def check_kernels(network: Network) -> None:
    """Compare energies, gradient and order parameters of both sets at weights of a start.

    Differences may be the root of the rounding of the weights' type, relative to the largest.

    Raises
    ------
    ValueError
        One sentence that says what differs.
    """
    state = trainer.init(network, Settings(), streams(1, ["agreement"], 1)[0])
    curves = trainer.advance(network, Settings(), state._replace(theta=state.theta.copy()), 0)
    gradient = np.full_like(state.theta, np.nan)
    engine.energy_and_gradient(
        network.matrices(state.theta), network.matrices(gradient),
        engine.data(network, *network.train), engine.workspace(network))
    exact = _by_autograd(network, state.theta)
    for name in ("train_loss", "train_accuracy", "test_loss", "test_accuracy"):
        _compare(network, name.replace("_", " "), getattr(curves, name)[0], exact[name])
    for name, x, y in zip(network.layout, network.views(gradient),
                          network.views(exact["gradient"])):
        _compare(network, f"gradient in {name}", x, y)


def _by_autograd(network: Network, theta: np.ndarray) -> dict:
    import torch

    functions, weights = pytorch_of(network), torch.tensor(theta, requires_grad=True)
    found: dict = {}
    for side, data in (("train", network.train), ("test", network.test)):
        x, y = map(torch.tensor, data)
        variance = y.double().var(dim=0, correction=0).mean()
        loss, order = functions.scores(network, weights, x, y, variance)
        found |= {f"{side}_loss": loss.mean().item(), f"{side}_accuracy": order.mean().item()}
    x, y = map(torch.tensor, network.train)
    functions.energy(network, weights, x, y).backward()
    assert weights.grad is not None
    return found | {"gradient": weights.grad.numpy()}


def _compare(network: Network, what: str, found, exact) -> None:
    found, exact = np.asarray(found), np.asarray(exact)
    largest, most = np.abs(exact).max(), np.sqrt(np.finfo(network.dtype).eps)
    if not np.abs(found - exact).max() <= most * max(largest, most):
        place = np.unravel_index(np.argmax(np.abs(found - exact)), found.shape)
        raise ValueError(f"the compiled kernels and PyTorch disagree: {what} is "
                         f"{float(found[place]):.8g} by the kernels, and {float(exact[place]):.8g} "
                         "by PyTorch")
