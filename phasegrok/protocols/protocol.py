"""The contract of a protocol: what the driver of a run asks of a sampler or of a dynamics.

:meth:`phasegrok.run.job.Job.drive` takes nothing else.  It restores or begins the state, advances
it in calls of less than a second, shows how far it is, writes checkpoints by the clock, and answers
signals between two calls.

The state is a plain dataclass of arrays and numbers, the random generators included: writing it is
the checkpoint.  The protocol itself is a frozen dataclass of settings.  So a run that was cut into
pieces, or was stopped and resumed, equals the whole bit for bit.
"""

import dataclasses
import typing
from typing import Any, ClassVar, TypeVar

from phasegrok.groups import Group


class State(typing.Protocol):
    """A dataclass of numpy arrays, numbers and strings."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]


S = TypeVar("S", bound=State)


class Protocol(typing.Protocol[S]):
    """A sampler or a dynamics with states of type ``S``."""

    @property
    def unit(self) -> str:
        """What is counted by ``total`` and ``done``, in the plural: "sweeps", "steps"."""

    def memory(self) -> int:
        """Bytes of the state; a run that does not fit is refused before any work."""

    def init(self, seed: int) -> S:
        """The first state.

        Random numbers come from :func:`phasegrok.rng.streams` of ``seed`` and a name: not from the
        order of calls, nor from ``seed + i``.

        Raises
        ------
        ValueError
            If the system does not have or reach such a start: one sentence.
        """

    def restore(self, saved: dict[str, Any]) -> S:
        """The state of a checkpoint, given the fields of its dataclass by name.

        Room is made here for the work that a longer run asks for.

        Raises
        ------
        ValueError
            If this protocol cannot continue it: one sentence.
        """

    def total(self) -> int:
        """Units of work in all."""

    def done(self, state: S) -> int:
        """Units of work made so far; the run ends when they are ``total()``."""

    def advance(self, state: S, n: int) -> None:
        """Make ``n`` more units, in place, and none beyond the last.

        A unit takes less than a second.  No bit of the state may depend on how the work is cut into
        calls, so that sums over time are made from left to right.
        """

    def status(self, state: S) -> str:
        """One phrase for the line that says how far the run is."""

    def result(self, state: S) -> dict[str, Group]:
        """Groups of the run file, at any moment of the run; the state stays as it is.

        What cannot be estimated yet is left out, with the reason
        (:func:`phasegrok.estimates.estimated`).
        """
