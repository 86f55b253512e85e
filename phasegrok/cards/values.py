"""What the values of a card may be, and how a message shows what somebody wrote."""

import difflib
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict

_MOST_TEMPERATURES = 10_000
MOST_MESSAGES = 20  # of one card; the rest is counted
_LONGEST_SHOWN = 60  # characters of what somebody wrote, in a message


class Section(BaseModel):
    """A table of a card: no unknown keys, no infinite numbers."""
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class _TooMany(ValueError):
    """More temperatures than any run can have."""


def shortened(text: str) -> str:
    """Text that fits into a message."""
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 3] + "..."


_COLDEST, _HOTTEST = 1e-100, 1e100  # units of energy; beyond, 1/T^2 leaves double precision


def check_temperature(temperature: float) -> None:
    """Refuse a positive temperature at which 1/T^2 cannot be computed.

    Raises
    ------
    ValueError
        If it is beyond 1e-100 ... 1e100.
    """
    if not _COLDEST <= temperature <= _HOTTEST:
        raise ValueError(f"temperature {temperature:g}: give one between {_COLDEST:g} and "
                         f"{_HOTTEST:g} in units of energy; well before either end nothing "
                         "changes any more")


def temperature_grid(text: str) -> np.ndarray:
    """Temperatures of ``first:last:number`` (equidistant) or of ``T, T, ...``, ascending.

    Raises
    ------
    ValueError
        If the text is of neither form, a temperature is not positive or extreme, or there are too
        many.
    """
    shown = shortened(text)
    try:
        if ":" in text:
            first, last, given = text.split(":")
            number = int(given)
        else:
            number = text.count(",") + 1
        if number > _MOST_TEMPERATURES:
            raise _TooMany(f'"{shown}": {number} temperatures; give {_MOST_TEMPERATURES} at most')
        grid = (np.linspace(float(first), float(last), number) if ":" in text
                else np.array([float(part) for part in text.split(",")]))
    except _TooMany:
        raise
    except ValueError:
        raise ValueError(f'"{shown}" is not of the form first:last:number, as 1.0:3.0:41, nor a '
                         "list, as 2.2,2.27") from None
    if len(grid) < 1 or not np.all(np.isfinite(grid)) or np.any(grid <= 0.0):
        raise ValueError(f'"{shown}": temperatures must be positive, and at least one')
    for end in (grid.min(), grid.max()):
        check_temperature(float(end))
    return np.unique(grid)  # ascending, whichever way it was given


Dynamics = Literal["heat-bath", "metropolis"]


def _ascending(values: list) -> list:
    if sorted(set(values)) != values:
        raise ValueError("give each once, ascending")
    return values


Integers = Annotated[list[int], AfterValidator(_ascending)]
Numbers = Annotated[list[float], AfterValidator(_ascending)]


def did_you_mean(word: str, known) -> str:
    """Names that are the word in other letters, L for l, or else those that are near to it."""
    if len(word) > _LONGEST_SHOWN:  # comparing takes a time that grows as the square
        return ""
    near = [name for name in known if name.lower() == word.lower()] or (
        difflib.get_close_matches(word, list(known), n=3, cutoff=0.5))
    return f"; did you mean {' or '.join(near)}?" if near else ""
