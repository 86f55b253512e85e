"""Networks of a user's own in PyTorch: functions of the flat vector theta, and what they obey.

``phasegrok.networks.models.own`` says what a user writes.
"""

import copy
from typing import Any

import numpy as np
import torch

from phasegrok.networks.pytorch.mlp import scores_of_outputs

_MOST = 64  # patterns on which a network is tried out
_ROUNDING = 1e-3  # of outputs in float32, relative to the largest


class Functions:
    """Energy and scores of a network, for one thread: a module holds its weights while it computes.

    Parameters
    ----------
    network : OwnNetwork
    """

    def __init__(self, network: Any):
        self._form = copy.deepcopy(network.form)
        self._constants: dict[torch.device, dict[str, torch.Tensor]] = {}

    def constants(self, device: torch.device) -> dict[str, torch.Tensor]:
        """Buffers, and parameters without gradient, on a device; they stay there."""
        if device not in self._constants:
            named = [] if not isinstance(self._form, torch.nn.Module) else [
                *self._form.named_buffers(), *self._form.named_parameters()]
            self._constants[device] = {name: x.detach().to(device) for name, x in named
                                       if not x.requires_grad}
        return self._constants[device]

    def outputs(self, network: Any, theta: torch.Tensor,
                inputs: torch.Tensor) -> torch.Tensor:
        """Logits (n, elements), or outputs (n, outputs), of a module.

        Raises
        ------
        ValueError
            Where the network gives scores alone.
        """
        if not network.is_module:
            raise ValueError(f"{type(self._form).__name__} has scores, and no outputs: write it as "
                             "a torch.nn.Module with forward(inputs)")
        weights = dict(zip(network.layout, network.views(theta)))
        return torch.func.functional_call(
            self._form, weights | self.constants(theta.device), (inputs,))

    def scores(self, network: Any, theta: torch.Tensor, inputs: torch.Tensor,
               targets: torch.Tensor, variance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Loss and order parameter of each pattern, two (n,) float64 tensors, as
        ``mlp.scores``."""
        if not network.is_module:
            loss, order = self._form.scores(theta, inputs, targets)
            return loss.double(), order.double()
        f = self.outputs(network, theta, inputs)
        return scores_of_outputs(f, targets, network.loss, variance)

    def energy(self, network: Any, theta: torch.Tensor, inputs: torch.Tensor,
               targets: torch.Tensor) -> torch.Tensor:
        """Energy of the weights: mean loss of the data, a float64 scalar tensor."""
        if hasattr(self._form, "energy"):
            return self._form.energy(theta, inputs, targets).double()
        one = torch.ones((), device=theta.device)
        return self.scores(network, theta, inputs, targets, one)[0].mean()


def constructed(own: type, arguments: dict[str, Any], seed: int, precision: str) -> Any:
    """An instance of the user's class, whose random numbers are PyTorch's of ``seed``.

    Raises
    ------
    ValueError
        Where its constructor fails.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            form = own(**arguments)
        except Exception as error:
            raise ValueError(f"{own.__name__} cannot be made with "
                             f"{', '.join(f'{k} = {v}' for k, v in arguments.items())}: "
                             f"{type(error).__name__}: {error}") from error
    # weights are drawn in single precision and then cast: the same start in both precisions
    return form.to(getattr(torch, precision)) if isinstance(form, torch.nn.Module) else form


def _weights(form: Any) -> dict[str, torch.Tensor]:
    return {name: x.detach() for name, x in form.named_parameters() if x.requires_grad}


def shapes(form: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of the matrices by name, in the order of theta.

    Raises
    ------
    ValueError
        Where there is none, or one that is not real.
    """
    module = isinstance(form, torch.nn.Module)
    name = type(form).__name__
    if not module and not (hasattr(form, "shapes") and hasattr(form, "initial")):
        raise ValueError(f"{name} is no torch.nn.Module, and so needs shapes, initial and scores")
    weights = _weights(form) if module else {}
    if any(not x.is_floating_point() for x in weights.values()):
        raise ValueError(f"{name} has weights that are not real numbers")
    found = {key: tuple(x.shape) for key, x in weights.items()} if module else {
        key: tuple(map(int, shape)) for key, shape in form.shapes.items()}
    if not found:
        raise ValueError(f"{name} has no weights to train")
    return found


def initial(network: Any, seed: int) -> np.ndarray:
    """The flat vector theta at the start, (n_parameters,), from the random numbers of a seed.

    Raises
    ------
    ValueError
        Where it has another length.
    """
    if network.is_module:
        form = constructed(type(network.form), network.arguments, seed, network.dtype.name)
        return torch.cat([x.flatten() for x in _weights(form).values()]).numpy()
    theta = np.asarray(network.form.initial(np.random.default_rng(seed)), dtype=float)
    if theta.shape != (network.n_parameters,):
        raise ValueError(f"initial of {network.name} returns an array of shape {theta.shape}; its "
                         f"shapes have {network.n_parameters} weights")
    return theta


def check(network: Any) -> None:
    """Refuse a network that is no function of weights and single patterns.

    Raises
    ------
    ValueError
        One sentence that says what is wrong.
    """
    name, functions = network.name, Functions(network)
    theta = torch.tensor(initial(network, 1).astype(network.dtype))
    if not np.array_equal(theta, initial(network, 1).astype(network.dtype)):
        raise ValueError(f"{name} draws its weights from other random numbers than PyTorch's, so "
                         "that a seed does not fix them")
    x, y = (torch.tensor(a[:_MOST]) for a in network.train)
    if not network.is_module and not hasattr(network.form, "scores"):
        raise ValueError(f"{name} has no scores(theta, inputs, targets)")

    def of(inputs, targets, seed=0):
        torch.manual_seed(seed)
        if network.is_module:
            return functions.outputs(network, theta, inputs)
        return torch.stack(functions.scores(network, theta, inputs, targets, theta[0]), dim=1)

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        constants = functions.constants(x.device)
        before = {key: b.clone() for key, b in constants.items()}
        try:
            f = of(x, y)
        except Exception as error:
            raise ValueError(f"{name} fails on {tuple(x.shape)} inputs of type {x.dtype}: "
                             f"{type(error).__name__}: {error}") from error
        shape = (len(x), network.outputs if network.is_module else 2)
        if not isinstance(f, torch.Tensor) or tuple(f.shape) != shape:
            raise ValueError(f"{name} returns {tuple(getattr(f, 'shape', ()))}, and {shape} is "
                             "expected")
        if not torch.isfinite(f).all():
            raise ValueError(f"{name} returns numbers that are not finite with the weights at its "
                             "start: mend its forward pass, or start with smaller weights")
        if _dropout(network) or not torch.equal(f, of(x, y, 1)):
            raise ValueError(f"{name} draws random numbers in its forward pass (as dropout does): "
                             "its energy must be a function of the weights; leave them out")
        if not all(torch.equal(b, constants[key]) for key, b in before.items()):
            raise ValueError(f"{name} changes its buffers in its forward pass (as BatchNorm does): "
                             "its energy must be a function of the weights; leave them out")
        half = len(x) // 2
        if half and not torch.allclose(of(x[:half], y[:half]), f[:half], rtol=_ROUNDING,
                                       atol=_ROUNDING * float(f.abs().max())):
            raise ValueError(f"{name} gives a pattern another output where others stand beside it "
                             "(as BatchNorm does): its energy must be a mean over patterns")
    _check_stacked(network, functions, theta, x, y)


def _dropout(network: Any) -> bool:
    return network.is_module and any(
        getattr(m, "p", 0.0) for m in network.form.modules() if "Dropout" in type(m).__name__)


def _check_stacked(network, functions, theta, x, y) -> None:
    def energy(theta):
        return functions.energy(network, theta, x, y)

    try:
        two = torch.stack([theta, 0.9 * theta])
        E = torch.func.vmap(torch.func.grad_and_value(energy))(two)[1]
        alone = energy(two[1])
    except Exception as error:
        line = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise ValueError(f"{network.name} does not work under torch.func.vmap and grad, which "
                         f"stack replicas: {type(error).__name__}: {line}") from error
    if not torch.allclose(E[1], alone, rtol=_ROUNDING):
        raise ValueError(f"{network.name} has another energy where replicas are stacked under "
                         f"torch.func.vmap: {float(E[1]):.6g} for {float(alone):.6g}")
