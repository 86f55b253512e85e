"""The kinds that a card may name: those of systems and those of networks, as one table."""

from pkgutil import resolve_name
from typing import Any

from pydantic import BaseModel

from phasegrok.networks.kinds import NETWORKS, schema_of_own
from phasegrok.systems import KINDS as SYSTEMS
from phasegrok.systems import RANGES, Kind

_ACCURACY = (0.0, 1.0)
KINDS: dict[str, Kind] = SYSTEMS | {kind: Kind(row.parameters, "network", _ACCURACY)
                                    for kind, row in NETWORKS.items()}


def parameters_class(kind: str) -> type[BaseModel]:
    """The pydantic schema of the parameters of ``kind`` (a key of ``KINDS``)."""
    return resolve_name(KINDS[kind].parameters)


def family(kind: str) -> str:
    """Which protocols fit ``kind``: "discrete", "continuous", "network", ..."""
    return KINDS[kind].family


def order_range(kind: str) -> tuple[float, float]:
    """Least and largest value of the order parameter (test accuracy of a network) of ``kind``."""
    return KINDS[kind].order_range or RANGES[family(kind)]


def schema_of(own: Any, kind: Any) -> type[BaseModel]:
    """The schema of the parameters of a user's own system: itself, or made from a network.

    Parameters
    ----------
    own : object
        What the key ``code`` of a card names.
    kind : str
        The card's; of a network the task that it learns.

    Raises
    ------
    ValueError
        Where it is neither.
    """
    name = getattr(own, "__name__", str(own))
    if not isinstance(own, type):
        raise ValueError(f"{name} is no pydantic model of the system's parameters, and no network")
    schema = own if issubclass(own, BaseModel) else schema_of_own(own, kind)
    if schema is None:
        raise ValueError(f"{name} is no pydantic model of the system's parameters, and no network, "
                         "which has forward or scores")
    missing = [part for part in ("disorder", "size", "build") if not hasattr(schema, part)]
    if missing:
        raise ValueError(f"{name} has no {', '.join(missing)}")
    return schema
