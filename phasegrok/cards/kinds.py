"""The kinds that a card may name: those of systems and those of networks, as one table."""

from pkgutil import resolve_name

from pydantic import BaseModel

from phasegrok.networks.kinds import NETWORKS
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
