"""An update of a user's own: a class of ``torch.optim.Optimizer``, on the engine torch.

A card names it as FILE.py:NAME.  Its constructor is given every setting of [training] that it has
an argument of that name for and that the card sets (``betas`` is (beta1, beta2), ``eps`` is
epsilon), and ``arguments`` besides; what the card leaves out is the constructor's default, and lr
and weight_decay, where it has none, are the package's.  In every step all its groups have the
learning rate lr_k; noise, filters and the fixed norm are those of the other updates.

Each replica has an instance of its own, whose parameters are the matrices of its row of theta; the
attribute ``matrix`` of each is its name.  Where the class says ``elementwise = True``, each weight
moves by itself, and one instance moves the stack, with a leading axis of replicas.  A closure
computes loss and gradients of this step's data anew; it goes to a ``step`` that needs one, or whose
class says ``closure = True``.
"""

import copy
import inspect
import io
import math
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from phasegrok import own_code
from phasegrok.networks.updates.common import add_tensor_noise

_writes = threading.Lock()  # stacks of several threads keep their states in one array
_TRIED = 2  # replicas and steps of a trial
_ROUNDING = 1e-5  # of weights in float64 between one instance and two


class Own(NamedTuple):
    """The class, and what its constructor may ask for."""

    optimiser: str
    lr: float
    weight_decay: float
    arguments: dict[str, Any]
    momentum: float | None = None
    beta1: float | None = None
    beta2: float | None = None
    rho: float | None = None
    epsilon: float | None = None

    @property
    def kind(self) -> Any:
        """The user's class."""
        return own_code.load(self.optimiser)

    @property
    def elementwise(self) -> bool:
        """Whether each weight moves by itself, so that replicas share an instance."""
        return bool(getattr(self.kind, "elementwise", False))

    @property
    def has_closure(self) -> bool:
        """Whether a step computes the gradient again."""
        closure = inspect.signature(self.kind.step).parameters.get("closure")
        required = closure is not None and closure.default is inspect.Parameter.empty
        return required or bool(getattr(self.kind, "closure", False))

    def made(self, parameters: list) -> Any:
        """An instance for these parameters.

        Raises
        ------
        ValueError
            Where the class has no such argument, or refuses one.
        """
        try:
            return self.kind(parameters, **_given(self))
        except Exception as error:
            raise ValueError(f"the optimiser {self.kind.__name__} cannot be made: "
                             f"{type(error).__name__}: {error}") from error


def _given(update: Own) -> dict[str, Any]:
    """Arguments of the constructor, from the settings."""
    asked = inspect.signature(update.kind).parameters
    values = {name: getattr(update, name) for name in update._fields
              if name not in ("optimiser", "arguments")} | {"eps": update.epsilon}
    given = {name: x for name, x in values.items() if name in asked and x is not None}
    if "betas" in asked and not (update.beta1 is None and update.beta2 is None):
        default = asked["betas"].default
        default = (None, None) if default is inspect.Parameter.empty else default
        betas = tuple(new if new is not None else old
                      for new, old in zip((update.beta1, update.beta2), default))
        if None in betas:
            raise ValueError("give both beta1 and beta2")
        given["betas"] = betas
    every = any(a.kind is a.VAR_KEYWORD for a in asked.values())
    unknown = [] if every else [name for name in update.arguments if name not in asked]
    if unknown:
        raise ValueError(f"it takes no argument {unknown[0]}; it takes "
                         f"{', '.join(list(asked)[1:]) or 'none'}")
    return given | update.arguments


def named(layout: dict, tensors: list) -> list:
    """Parameters that share the memory of matrices, each with the name of its own."""
    from torch.nn import Parameter

    parameters: list[Any] = [Parameter(x) for x in tensors]
    for name, x in zip(layout, parameters):
        x.matrix = name
    return parameters


class Instances:
    """The instances of a stack, on parameters that share the memory of its weights.

    Parameters
    ----------
    update : Own
    at : Stack
        Of ``phasegrok.networks.training.stack_torch``.
    """

    def __init__(self, update: Own, at: Any):
        self._update, self._at, self._has_closure = update, at, update.has_closure
        self._rows: list[Any] = [slice(None)] if update.elementwise else list(range(at.size))
        self._made: list[tuple[Any, list]] = []

    def _views(self, x, row) -> list:
        """The matrices of a row of ``x``, or of all rows; they share its memory."""
        lead = (self._at.size,) if self._update.elementwise else ()
        return [x[row, ..., offset : offset + math.prod(shape)].view(*lead, *shape)
                for offset, shape in self._at.system.layout.values()]

    def _begin(self) -> None:
        self._made = []
        for row in self._rows:
            parameters = named(self._at.system.layout, self._views(self._at.theta, row))
            self._made.append((self._update.made(parameters), parameters))

    def step(self) -> None:
        """A step of all replicas that run, with their gradients."""
        at, rate, alive = self._at, float(self._at.lr), self._at.alive.cpu().numpy()
        for row, (optimiser, parameters) in zip(self._rows, self._made):
            if not alive[row].any():
                continue
            for group in optimiser.param_groups:
                group["lr"] = rate
            self._hand_gradients(row, parameters)
            if self._has_closure:
                optimiser.step(self._closure(row, parameters))
            else:
                optimiser.step()
            for x, view in zip(parameters, self._views(at.theta, row)):
                if x.data_ptr() != view.data_ptr():  # it has other memory now: data was assigned
                    view.copy_(x.data)
                    x.data = view

    def _hand_gradients(self, row, parameters) -> None:
        for x, g in zip(parameters, self._views(self._at.g, row)):
            x.grad = g

    def _closure(self, row, parameters) -> Callable:
        def loss_and_gradients():
            g, E = self._at.gradient_of(row, self._at.theta[row])
            self._at.g[row].copy_(g)
            self._hand_gradients(row, parameters)
            return E

        return loss_and_gradients

    # --- the checkpoint ---------------------------------------------------------------------------

    def load(self, state: Any, part: slice) -> None:
        """Begin with what ``store`` kept of the replicas ``part``; anew where there is nothing."""
        self._begin()
        with _writes:
            rows = state.optimiser[part].copy()
        if not rows.any():  # those of another stack may be there already
            return
        kept = [_read(x) for x in rows]
        if self._update.elementwise:
            kept = [_stacked(kept, self._at.size)]
        for (optimiser, parameters), one in zip(self._made, kept):
            optimiser.load_state_dict(copy.deepcopy(one))
            for k, x in enumerate(parameters):  # PyTorch casts what it loads to the weights' type
                if k in one["state"]:
                    optimiser.state[x] = _like(one["state"][k], optimiser.state[x])

    def store(self, state: Any, part: slice) -> None:
        """Keep the states of the replicas ``part``, the bytes of each a row."""
        rows = part.stop - part.start
        if self._update.elementwise:
            whole = self._made[0][0].state_dict()
            blobs = [_written(_row_of(whole, r, self._at.size)) for r in range(rows)]
        else:
            blobs = [_written(self._made[r][0].state_dict()) for r in range(rows)]
        with _writes:
            n = max(map(len, blobs))
            old = state.optimiser
            if old.size == 0 or old.shape[1] < n:
                state.optimiser = np.zeros((len(state.counters), n), np.uint8)
                if old.size:
                    state.optimiser[:, : old.shape[1]] = old
            for row, blob in zip(state.optimiser[part], blobs):
                row[: len(blob)] = blob
                row[len(blob) :] = 0


def _each(what: Callable, x: Any) -> Any:
    """The same nest of dicts, lists and tuples with ``what`` of every tensor."""
    from torch import Tensor

    if isinstance(x, Tensor):
        return what(x)
    if isinstance(x, dict):
        return {key: _each(what, value) for key, value in x.items()}
    return type(x)(_each(what, value) for value in x) if isinstance(x, list | tuple) else x


def _like(exact: Any, placed: Any) -> Any:
    """Tensors of ``exact`` on the devices of those in ``placed``."""
    from torch import Tensor

    if isinstance(exact, Tensor):
        return exact.to(placed.device) if isinstance(placed, Tensor) else exact
    if isinstance(exact, dict):
        return {key: _like(x, placed.get(key)) for key, x in exact.items()}
    if isinstance(exact, list | tuple):
        return type(exact)(_like(x, y) for x, y in zip(exact, placed))
    return exact


def _written(state_dict: dict) -> np.ndarray:
    """Bytes of a state: their number in the first eight, then what ``torch.save`` writes."""
    import torch

    file = io.BytesIO()
    torch.save(_each(lambda x: x.detach().cpu().clone(), state_dict), file)
    raw = file.getvalue()
    return np.frombuffer(np.array([len(raw)], "<u8").tobytes() + raw, np.uint8)


def _read(row: np.ndarray) -> dict:
    """The state of one replica on the CPU; no code of a file is run."""
    import torch

    n = int(np.ascontiguousarray(row[:8]).view("<u8")[0])
    return torch.load(io.BytesIO(row[8 : 8 + n].tobytes()), map_location="cpu", weights_only=True)


def _row_of(whole: dict, r: int, size: int) -> dict:
    """State of replica ``r`` of a stack: rows of what has an axis of replicas."""
    return whole | {"state": _each(lambda x: x[r] if x.ndim and len(x) == size else x,
                                   whole["state"])}


def _stacked(kept: list[dict], size: int) -> dict:
    """The state of a stack of ``size`` replicas from those of the first of its rows."""
    import torch

    def joined(*values):
        if isinstance(values[0], torch.Tensor):
            if values[0].ndim == 0:
                return values[0]  # a number of steps, the same for all
            rows = torch.stack(values)
            return torch.cat([rows, rows.new_zeros(size - len(rows), *rows.shape[1:])])
        if isinstance(values[0], dict):
            return {key: joined(*(v[key] for v in values)) for key in values[0]}
        return values[0]

    return kept[0] | {"state": joined(*(one["state"] for one in kept))}


def tensor_step(update: Own, at: Any) -> None:
    """A step of all replicas of a ``stack_torch.Stack``."""
    at.instances.step()
    add_tensor_noise(at)


# --- what a class must obey -----------------------------------------------------------------------


def check(update: Own, system: Any) -> None:
    """Try a class out on matrices of a network: two steps, and its state written and read.

    Raises
    ------
    ValueError
        One sentence that says what is wrong.
    """
    import torch

    kind = update.kind
    if not (isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)):
        raise ValueError(f"{update.optimiser} is no class of torch.optim.Optimizer")
    if update.elementwise and update.has_closure:
        raise ValueError(f"{kind.__name__} is elementwise and takes a closure, whose loss is that "
                         "of one replica: leave out one of the two")
    trial = _Trial(update, system)
    try:
        apart, state = trial.run()
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(f"{kind.__name__} fails: {type(error).__name__}: {error}") from error
    try:
        _read(_written(state))
    except Exception as error:
        raise ValueError(f"the state_dict of {kind.__name__} holds more than tensors and numbers, "
                         "so that it cannot be kept in a checkpoint") from error
    if update.elementwise and not torch.allclose(apart, trial.run(stacked=True)[0],
                                                 rtol=_ROUNDING, atol=_ROUNDING):
        raise ValueError(f"{kind.__name__} says that it is elementwise, but it moves stacked "
                         "replicas in another way than each by itself")


class _Trial:
    """Steps on random weights and gradients of the shapes of a network, in float64."""

    def __init__(self, update: Own, system: Any):
        import torch

        self._update = update
        generator = torch.Generator().manual_seed(1)
        self._layout = system.layout
        self._shapes = [shape for _, shape in system.layout.values()]
        self._theta, *self._gradients = (
            [torch.randn(_TRIED, *shape, generator=generator, dtype=torch.float64)
             for shape in self._shapes] for _ in range(1 + _TRIED))

    def run(self, stacked: bool = False):
        """Weights after the steps, one flat tensor, and the state."""
        import torch

        ends, state = [], {}
        for rows in [slice(None)] if stacked else range(_TRIED):
            parameters = named(self._layout, [x[rows].clone() for x in self._theta])
            optimiser = self._update.made(parameters)
            for gradients in self._gradients:
                def closure(parameters=parameters, gradients=gradients, rows=rows):
                    for x, g in zip(parameters, gradients):
                        x.grad = g[rows].clone()
                    return torch.tensor(1.0, dtype=torch.float64)

                closure()
                optimiser.step(*[closure] * self._update.has_closure)
            ends.append([x.detach().reshape(-1, *shape)
                         for x, shape in zip(parameters, self._shapes)])
            state = optimiser.state_dict()
        return torch.cat([torch.cat(parts).flatten() for parts in zip(*ends)]), state
