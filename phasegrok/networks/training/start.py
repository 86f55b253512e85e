"""Where a training starts: a file of weights, and which of those in it."""

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

_CHOICE = re.compile(r":(\w+=[^:=,/]*(?:,\w+=[^:=,/]*)*)$")


class Source(NamedTuple):
    """A file of weights; of a run file, one replica at one step."""

    file: str
    replica: int = 0
    step: int | str | None = None  # a step, or the name of an event; None: the last that there is


def source_of(text: str) -> Source:
    """The source that ``FILE`` or ``FILE:replica=R,step=S`` names.

    Raises
    ------
    ValueError
        If it is neither: one sentence.
    """
    choice = _CHOICE.search(text)
    file = text[: choice.start()] if choice else text
    given = dict(part.split("=") for part in choice[1].split(",")) if choice else {}
    replica, step = given.pop("replica", "0"), given.pop("step", None)
    if not file or given or not re.fullmatch(r"\d{1,18}", replica) or step == "":
        raise ValueError(f'"{text}" is not FILE or FILE:replica=R,step=S, as run.h5:replica=2,'
                         "step=1000")
    if file.endswith((".npz", ".safetensors", ".pt", ".pth")) and choice:
        raise ValueError(f"{file} has the weights of one network: leave out :{choice[1]}")
    at = int(step) if step is not None and re.fullmatch(r"\d{1,18}", step) else step
    return Source(file, int(replica), at)


def _checked(text: str | None) -> str | None:
    if text is not None:
        source_of(text)
    return text


StartFrom = Annotated[str | None, AfterValidator(_checked)]
"""Text of a :class:`Source`; None: none."""
