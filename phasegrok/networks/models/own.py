"""Networks of a user's own: a PyTorch module, or functions of one flat vector of weights.

A card names the class with ``code = "my_net.py:MyNet"``, and with its ``kind`` the task:

``pairs``
    A task on pairs (``tasks.pairs``): the network is given ``elements``, the number of values of
    a, of b and of classes.
``teacher``
    Targets of a teacher (``tasks.teachers``): it is given ``inputs`` and ``outputs``, numbers.
``patterns``
    What its static method ``data(rng, ...)`` returns: train inputs and targets, test inputs and
    targets, arrays with a row a pattern.  ``rng`` is a generator of NumPy of ``disorder_seed``.
    It is given ``inputs``, and ``outputs``, or ``elements`` where targets are integer labels.

The class is either of these.

``torch.nn.Module``
    ``forward(inputs)`` returns logits (n, elements), or the outputs of a regression (n, outputs).
    ``loss = "mse"`` in the class: squared distance to the one-hot label instead of the
    cross-entropy.  Weights start as the constructor draws them.
Anything with ``shapes``, ``initial`` and ``scores``
    ``shapes``, a dict of the shapes of matrices by name; ``initial(rng)``, the flat vector theta at
    the start; ``scores(theta, inputs, targets)``, loss and order parameter of each pattern, (n,)
    tensors each; and ``energy(theta, inputs, targets)``, where it is not the mean of the loss.

What the constructor asks for and the task does not give are keys of [parameters], with its types
and defaults.  Buffers and parameters without gradient are drawn once, the same for all replicas.
All runs on the engine torch, and on the compiled one where ``compiled = "my_kernels.py"`` in the
class names a file like ``phasegrok/networks/compiled/mlp.py``.
"""

import hashlib
import inspect
import json
import math
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, create_model

from phasegrok import own_code
from phasegrok.networks.models.mlp import PRECISION, Precision, Weights
from phasegrok.networks.network import LOSSES, Data, Network, layout_of
from phasegrok.networks.tasks import pairs, teachers

_SETS = ("inputs", "targets", "test_inputs", "test_targets")


class _Patterns(BaseModel):
    """Patterns of a user's own."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())
    disorder_seed: int = Field(1, ge=0, description="seed of the patterns")
    precision: Precision = Field("float32", description=PRECISION)
    network: typing.ClassVar[Any]  # the user's class

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Inputs and targets (n, ...) of both sets, from the class's ``data``."""
        data = self.network.data
        asked = inspect.signature(data).parameters
        given = {name: getattr(self, name) for name in asked if hasattr(self, name)}
        if rows is not None and "rows" not in asked:
            raise ValueError("data of the network takes no rows of a file: leave out [data]")
        given |= {"rows": rows} if "rows" in asked else {}
        return dict(zip(_SETS, map(np.asarray, data(
            rng=np.random.default_rng(self.disorder_seed), **given)), strict=True))

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Number of training patterns."""
        return len(arrays["inputs"])


def _own_patterns(parameters: Any, arrays: dict[str, np.ndarray]) -> tuple[Data, Data]:
    def typed(x):
        return x.astype(np.int64 if x.dtype.kind in "iub" else parameters.precision)

    x, y, x_test, y_test = (typed(arrays[name]) for name in _SETS)
    for a, b in ((x, y), (x_test, y_test)):
        if len(a) != len(b) or len(a) == 0 or a.shape[1:] != x.shape[1:] or (
                b.shape[1:] != y.shape[1:] or b.dtype != y.dtype or b.ndim > 2):
            raise ValueError("data of the network returns inputs (n, ...) and targets (n,) or "
                             "(n, outputs) of the train set, and then those of the test set, of "
                             "the same shapes and types")
    if y.dtype.kind == "f" and y.ndim == 1:
        y, y_test = y[:, None], y_test[:, None]
    return Data(x, y), Data(x_test, y_test)


class Task(NamedTuple):
    """What a network of a user's own may learn: a schema, and the data that it makes."""

    schema: type[BaseModel]
    sets: typing.Callable[[Any, dict[str, np.ndarray]], tuple[Data, Data]]
    given: tuple[str, ...]  # to the network, of ``_given``


TASKS = {
    "pairs": Task(pairs.Parameters, pairs.data_set, ("elements",)),
    "teacher": Task(teachers.StudentParameters, teachers.StudentParameters.sets,
                    ("inputs", "outputs")),
    "patterns": Task(_Patterns, _own_patterns, ("inputs", "outputs", "elements")),
}


def schema(network: Any, task: Any) -> type[BaseModel]:
    """Schema of [parameters]: keys of the task, and what the network's constructor asks for.

    Raises
    ------
    ValueError
        Where there is no such task, or an argument has no name or no type of a card.
    """
    name = network.__name__
    if task not in TASKS:
        raise ValueError(f"{name} is a network: kind names its task, one of {', '.join(TASKS)}, "
                         f"and not {task}")
    if (task == "patterns") != hasattr(network, "data"):
        raise ValueError(f"{name} has a function data of its own: kind is patterns" if
                         hasattr(network, "data") else f"{name} has no function data(rng, ...), "
                         "which draws patterns: give one, or another kind")
    fields = _arguments(network.__init__, TASKS[task])
    if task == "patterns":
        fields |= _arguments(network.data, TASKS[task])
    base = TASKS[task].schema
    try:
        made = create_model(f"{name}Parameters", __base__=base, **{
            "precision": (Precision, Field("float32", description=PRECISION)), **fields})
    except Exception as error:
        raise ValueError(f"an argument of {name} has a type that no card can give: "
                         f"{str(error).splitlines()[0]}") from error
    for key, x in dict(network=network, family="network", task=task, build=_build).items():
        setattr(made, key, x)
    return made


def _arguments(function: Any, task: Task) -> dict[str, Any]:
    """Fields of a schema: arguments by name that the task does not give."""
    try:
        hints = typing.get_type_hints(function)
    except Exception as error:
        raise ValueError(f"the types of {function.__qualname__} are not known: {error}") from error
    fields: dict[str, Any] = {}
    known = {"self", "rng", "rows", "precision", *task.given, *task.schema.model_fields}
    for name, argument in inspect.signature(function).parameters.items():
        if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD) or name in known:
            continue
        if argument.kind is argument.POSITIONAL_ONLY:
            raise ValueError(f"{function.__qualname__} takes {name} without its name: a card gives "
                             "arguments by name")
        if hasattr(task.schema, name) or name in ("network", "family", "task", "build"):
            raise ValueError(f"{function.__qualname__}: no key of a card can be called {name}: "
                             "give the argument another name")
        default = ... if argument.default is argument.empty else argument.default
        fields[name] = (hints.get(name, Any), default)
    return fields


def _build(parameters: Any, arrays: dict[str, np.ndarray] | None = None) -> "OwnNetwork":
    """The network with its data; refused where the engines would compute something else."""
    from phasegrok.networks.pytorch import own as pytorch

    task, own = TASKS[parameters.task], parameters.network
    train, test = task.sets(parameters, arrays or {})
    labels = train.targets.dtype.kind == "i"
    values = {"elements": getattr(parameters, "elements", None) or (
        1 + max(int(y.max()) for y in (train.targets, test.targets)) if labels else None),
        "inputs": math.prod(train.inputs.shape[1:]),
        "outputs": None if labels else train.targets.shape[1]}
    outputs = int(values["elements" if labels else "outputs"] or 0)
    asked = inspect.signature(own.__init__).parameters
    arguments = {name: values[name] if name in task.given else getattr(parameters, name)
                 for name in asked if name in task.given or hasattr(parameters, name)}
    form = pytorch.constructed(own, arguments, 0, parameters.precision)
    network = OwnNetwork(
        parameters, train, test,
        getattr(own, "loss", None) or ("cross-entropy" if labels else "mse"),
        **layout_of(pytorch.shapes(form)), form=form, arguments=arguments,
        outputs=outputs, arrays=arrays or {})
    pytorch.check(network)
    return network


@dataclass(frozen=True)
class OwnNetwork(Network):
    """A network of a user's own; attributes as ``Network``, and those below.

    Attributes
    ----------
    form : object
        An instance of the user's class; a module has its buffers.
    arguments : dict
        What the constructor was given.
    outputs : int
        Classes, or outputs of a regression.
    arrays : dict
        Of the card: what its parameters were built with.
    """

    form: Any = field(compare=False)
    arguments: dict[str, Any]
    outputs: int
    arrays: dict[str, np.ndarray] = field(compare=False)

    def __post_init__(self):
        """Refuse losses that the data do not have; ``pytorch.own.check`` looks at the function."""
        labels = self.train.targets.dtype.kind == "i"
        if self.is_module and self.loss not in (LOSSES if labels else ("mse",)):
            raise ValueError(f"{self.name} has no loss {self.loss}: "
                             f"{' or '.join(LOSSES) if labels else 'that of real targets is mse'}")

    @property
    def name(self) -> str:
        """Of the user's class."""
        return type(self.form).__name__

    @property
    def is_module(self) -> bool:
        """Whether it is a PyTorch module; functions of a flat vector otherwise."""
        return hasattr(self.form, "forward")

    @property
    def loss_name(self) -> tuple[str, str]:
        """Unit of the energy, and what it is."""
        return LOSSES.get(self.loss, ("1", self.loss))

    def initial(self, rng_state: np.ndarray) -> np.ndarray:
        """Draw the weights as the user's class does, from a seed that the generator gives.

        Arguments and result as ``Network.initial``.
        """
        from phasegrok.networks.pytorch import own as pytorch
        from phasegrok.rng import next_word

        seed = int(next_word(rng_state)) >> 1
        return pytorch.initial(self, seed).astype(self.dtype)

    def matrices(self, theta: Any) -> Weights:
        """The flat vector ``theta`` (or a gradient), as kernels of a user's own take it."""
        self.views(theta)
        return Weights(theta)


def kernels_of(network: OwnNetwork, section: str) -> Any:
    """Module with the compiled kernels that the user's class names; ``section`` asks for them.

    Raises
    ------
    ValueError
        Where it names none.
    """
    kernels = kernels_reference(type(network.form))
    if kernels is None:
        raise ValueError(f'{network.name} has no compiled kernels: set engine = "torch" in '
                         f"[{section}]")
    return inspect.getmodule(own_code.load(kernels))


def kernels_reference(own: type) -> str | None:
    """FILE.py:workspace of the kernels that a user's class names with ``compiled``."""
    file = getattr(own, "compiled", None)
    return file and f"{Path(inspect.getfile(own)).parent / file}:workspace"


def _recipe(network: OwnNetwork) -> str:
    parameters, own = network.parameters, type(network.form)
    return json.dumps({
        "code": f"{inspect.getfile(own)}:{own.__name__}", "task": parameters.task,
        "parameters": parameters.model_dump(mode="json", exclude_unset=True),
        "sources": sorted(map(str, own_code.executed_files))}, sort_keys=True)


def key(network: OwnNetwork) -> str:
    """What tells compiled kernels of networks apart, beside the sources: class and parameters."""
    return f"own-{hashlib.sha256(_recipe(network).encode()).hexdigest()[:16]}"


def write_recipe(network: OwnNetwork, folder: Path) -> None:
    """Write what another process makes the same network from."""
    (folder / "recipe.json").write_bytes(_recipe(network).encode())
    arrays: dict[str, Any] = network.arrays
    np.savez(folder / "arrays.npz", **arrays)


def from_recipe(folder: Path) -> OwnNetwork:
    """The network of ``write_recipe``, with the kernel cache of the process that wrote it."""
    recipe = json.loads((folder / "recipe.json").read_bytes())
    for source in recipe["sources"]:
        own_code.execute(Path(source))
    with np.load(folder / "arrays.npz") as arrays:
        made: Any = schema(own_code.load(recipe["code"]), recipe["task"])
        return made(**recipe["parameters"]).build(dict(arrays))
