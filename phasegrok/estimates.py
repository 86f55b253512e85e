"""What cannot be estimated is left out, with its reason; the rest of a run is written all the same.

A run may take days, its analysis seconds: no estimator may cost the data.
"""

from collections.abc import Callable
from typing import TypeVar

from phasegrok.groups import Group

NOT_ESTIMATED = "not_estimated"
"""The group whose attributes say, by name, why something is missing."""

NOT_EQUILIBRATED = "not equilibrated"
"""Instead of a phase: of chains that are not in equilibrium no wells are sought."""

_FAILURES = (ArithmeticError, LookupError, ValueError)  # of numbers; LinAlgError is a ValueError

T = TypeVar("T")


def estimated(groups: dict[str, Group], name: str, estimate: Callable[[], T]) -> T | None:
    """What ``estimate()`` returns; None where it fails, and the reason goes to ``groups``.

    Parameters
    ----------
    groups : dict
        Groups of a run file; gets the group ``not_estimated`` with an attribute ``name``.
    name : str
        What is estimated, as a reader would call it.
    estimate : callable
        The estimator.
    """
    try:
        return estimate()
    except _FAILURES as error:
        reasons = groups.setdefault(NOT_ESTIMATED, Group())
        reasons.attributes[name] = str(error) or type(error).__name__
        return None


def reasons(group: Group) -> str:
    """A line for everything that was left out."""
    return "\n".join(f"not estimated: {name}: {reason}"
                     for name, reason in group.attributes.items())
