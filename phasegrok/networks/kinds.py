"""Kinds of networks, a row each: where parameters, class and the two engines stand."""

from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from phasegrok.networks.network import Network

if TYPE_CHECKING:
    from pydantic import BaseModel


class NetworkKind(NamedTuple):
    """One kind of network; what is named is imported when it is asked for."""

    parameters: str  # "module:Class", the schema of the card's parameters
    network: str  # "module:Class", the exact type of what ``parameters`` build
    inputs: Literal["pairs", "patterns"]  # integer pairs, or real patterns
    compiled: str | None  # module with the kernels of the compiled engine; None: it has none
    pytorch: str  # module with the same function in PyTorch
    small: dict[str, Any]  # parameters of a small network, for which kernels are compiled


_TRANSFORMER = dict(operation="-", p=5, train_fraction=0.5, d_model=8, heads=2, mlp=8)

NETWORKS = {
    "modular-transformer": NetworkKind(
        "phasegrok.networks.models.transformer:Parameters",
        "phasegrok.networks.models.transformer:ModularTransformer", "pairs",
        "phasegrok.networks.compiled.transformer", "phasegrok.networks.pytorch.transformer",
        _TRANSFORMER),
    "modular-decoder": NetworkKind(
        "phasegrok.networks.models.decoder:Parameters",
        "phasegrok.networks.models.decoder:ModularDecoder", "pairs",
        "phasegrok.networks.compiled.decoder", "phasegrok.networks.pytorch.decoder",
        _TRANSFORMER),
    "modular-mlp": NetworkKind(
        "phasegrok.networks.models.mlp:Parameters", "phasegrok.networks.models.mlp:MLP", "pairs",
        "phasegrok.networks.compiled.mlp", "phasegrok.networks.pytorch.mlp",
        dict(operation="-", p=5, train_fraction=0.5, hidden=[8])),
    "regression-mlp": NetworkKind(
        "phasegrok.networks.tasks.teachers:StudentParameters",
        "phasegrok.networks.models.mlp:MLP", "patterns",
        "phasegrok.networks.compiled.mlp", "phasegrok.networks.pytorch.mlp",
        dict(layers=[2, 4, 1], n=8, n_test=8)),
    "committee-machine": NetworkKind(
        "phasegrok.networks.tasks.teachers:CommitteeParameters",
        "phasegrok.networks.models.mlp:Committee", "patterns",
        "phasegrok.networks.compiled.committee", "phasegrok.networks.pytorch.mlp",
        dict(D=3, N=4, n=8, n_test=8)),
}  # fmt: skip


_OWN = "phasegrok.networks.models.own"


def schema_of_own(network: type, task: Any) -> "type[BaseModel] | None":
    """Schema of the parameters of a user's own network; None where the class is none.

    Parameters
    ----------
    network : type
        With ``forward`` or ``scores``.
    task : str
        What it learns, a key of ``models.own.TASKS``.

    Raises
    ------
    ValueError
        Where there is no such task, or the class cannot be asked for its parameters.
    """
    if not (hasattr(network, "forward") or hasattr(network, "scores")):
        return None
    return resolve_name(f"{_OWN}:schema")(network, task)


def _is_own(network: Network) -> bool:
    return type(network) is resolve_name(f"{_OWN}:OwnNetwork")


def kind_of(network: Network) -> str:
    """The kind whose row has the engines of ``network``: its exact type, and its kind of inputs.

    Raises
    ------
    ValueError
        Where there is none: a subclass may be another function of its weights, and would be
        trained as its parent.
    """
    inputs = "pairs" if network.on_pairs else "patterns"
    for kind, row in NETWORKS.items():
        if row.inputs == inputs and resolve_name(row.network) is type(network):
            return kind
    raise ValueError(
        f"{type(network).__name__} on {inputs} has no row in NETWORKS of "
        "phasegrok/networks/kinds.py: name its engines there (its parent's only where it is the "
        "same function)")


def kernels_of(network: Network, section: str = "training") -> Any:
    """Module with the compiled kernels of ``network``; ``section`` of the card asks for them.

    Raises
    ------
    ValueError
        Where it has no row, or its row names none.
    """
    if _is_own(network):
        return resolve_name(f"{_OWN}:kernels_of")(network, section)
    kind = kind_of(network)
    compiled = NETWORKS[kind].compiled
    if compiled is None:
        raise ValueError(f"{kind} has no compiled kernels: name their module in its row in "
                         f"phasegrok/networks/kinds.py, or set {section}.engine to torch")
    return resolve_name(compiled)


def usual_engine(network: Network) -> Literal["compiled", "torch"]:
    """The engine where a card names none: compiled, if the network has such kernels."""
    named = (resolve_name(f"{_OWN}:kernels_reference")(type(network.form))  # type: ignore[attr-defined]
             if _is_own(network) else NETWORKS[kind_of(network)].compiled)
    return "torch" if named is None else "compiled"


def pytorch_of(network: Network) -> Any:
    """What has ``energy`` and ``scores`` of ``network`` in PyTorch: a module, or of a user's own
    network an object for one thread; raises as ``kind_of``."""
    if _is_own(network):
        return resolve_name("phasegrok.networks.pytorch.own:Functions")(network)
    return resolve_name(NETWORKS[kind_of(network)].pytorch)


def small(kind: str, precision: str) -> Network:
    """The small network of a kind, whose kernels are those of every network of the kind."""
    row = NETWORKS[kind]
    parameters = resolve_name(row.parameters)(**row.small, precision=precision)
    return parameters.build(parameters.disorder(None))
