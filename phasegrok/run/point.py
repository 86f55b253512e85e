"""The points of a scan, and one of them run: in this process or in a worker."""

import dataclasses
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from phasegrok.cards.card import Card
from phasegrok.errors import InputError
from phasegrok.rng import point_seed
from phasegrok.run import stopping
from phasegrok.run.job import Job
from phasegrok.run.progress import Progress
from phasegrok.run.runfile import BusyError, RunFile, RunFileError, read
from phasegrok.run.stopping import Interrupted
from phasegrok.text import printable

DONE, INTERRUPTED, FAILED, BUSY = "done", "interrupted", "failed", "busy"
_MOST_STARTS = 5  # processes that may die on a point with no checkpoint between
_BUSY_SECONDS = 2.0  # between two looks at points that other processes run, at least
_LOOK_SHARE = 20.0  # a wait is at least this many times the look: folders may be far away


@dataclasses.dataclass(frozen=True)
class Point:
    """One point of a scan.

    Parameters
    ----------
    name : str
        Unique in the scan; the file is NAME.h5.
    card : cards.Card
        What is run there: a card with its overrides applied (:meth:`cards.Card.changed`).
    """

    name: str
    card: Card


def attempt(run: Job, measure: Callable[[Job], None]) -> tuple[str, str]:
    """Run one point, from its checkpoint if it has one: how it ended, and the reason in words.

    A point that fails by itself (bad input, arithmetic, an error of the code) says so in its file
    and is not run again by this driver, nor by the other tasks of its array.
    """
    try:
        run.open(run.script.force, resume=True)
    except BusyError as error:
        return BUSY, str(error)
    except (InputError, RunFileError) as error:
        return FAILED, str(error)
    try:
        if run.done:
            return DONE, ""
        if failure := run.failed_meanwhile():
            return FAILED, failure
        starts = 1 + run.starts_in_vain()
        if starts > _MOST_STARTS:
            return _failed(run, f"its process died {_MOST_STARTS} times with no checkpoint between:"
                                " killed from outside, or out of memory")
        run.mark("running", starts=starts)
        measure(run)
        return (DONE, "") if run.done else _failed(run, "its measurement did not finish the job")
    except Interrupted:
        return INTERRUPTED, ""
    except (InputError, RunFileError, ArithmeticError) as error:
        return _failed(run, _sentence(error))
    except SystemExit as error:
        return _failed(run, f"its measurement ended the process (SystemExit: {error.code})")
    except Exception as error:  # the others go on
        print(printable(traceback.format_exc()), end="", file=sys.stderr)
        return _failed(run, _sentence(error))
    finally:
        run.close()


def _sentence(error: Exception) -> str:
    if isinstance(error, InputError | RunFileError):
        return "; ".join(str(error).splitlines())
    return f"{type(error).__name__}: {error}"


def _failed(run: Job, text: str) -> tuple[str, str]:
    try:
        run.mark("failed", error=text)
    except RunFileError as error:  # a full disk, say: the driver says it all the same
        text = f"{text} ({error})"
    return FAILED, text


class Scan:
    """The points of one call of :func:`map_points`, as the driver sees them."""

    def __init__(self, job: Job, measure: Callable[[Job], None], points: list[Point]):
        self.job = job
        self.measure = measure
        self.points = points

    def shares(self) -> list[list[Point]]:
        """The points by who begins with them: this process first, then the others of its array.

        A task runs its own share (``--point i/n``) in order, then takes from the ends of the
        others', the next task's first, so that tasks meet late and at different points.
        """
        if self.job.script.share is None:
            return [self.points]
        i, n = self.job.script.share
        others = [self.points[(i - 1 + k) % n :: n][::-1] for k in range(1, n)]
        return [self.points[i - 1 :: n], *others]

    def run_of(self, point: Point) -> Job:
        """The run of a point, not open."""
        run = self.job.part(f"{point.name}.h5", point.card, point_seed(self.job.seed, point.name),
                            measure=getattr(self.measure, "__qualname__", repr(self.measure)))
        run.label = f"{point.card.name} {point.name}"
        return run

    def clear(self) -> None:
        """Remove what ``--force`` replaces, of this process's share."""
        script = self.job.script
        if not script.force or script.resuming:
            return
        for point in self.shares()[0]:
            run = self.run_of(point)
            try:
                run.open(True)
            except RunFileError:  # another process runs it, or it is not ours to remove
                continue
            try:
                if not run.done and run.replaces():
                    run.path.unlink()
            finally:
                run.close()

    def pending(self) -> list[Point]:
        """The points that are not done, in the order in which this process takes them."""
        return [point for share in self.shares() for point in share if not self._is_done(point)]

    def _is_done(self, point: Point) -> bool:
        """Whether a point is done; its file is only read, as another process may run it."""
        run = self.run_of(point)
        try:
            run.open(run.script.force, resume=True, lock=False)
        except RunFileError:  # a damaged file: running it tells
            return False
        return run.done

    def stops(self) -> bool:
        """Whether this driver has been asked to stop, or its wall time ends."""
        return bool(stopping.received) or self.job.wall_is_over()

    def run_here(self, pending: list[Point]) -> dict[str, str]:
        """One point after the other in this process, and those of other processes awaited.

        A point that another process runs is looked at again until that process has done it or is
        gone, and then it is run from its checkpoint.  Returns sentences on those that failed.
        """
        failures: dict[str, str] = {}
        left, busy, cost = list(pending), 0, 0.0  # busy: in a row
        watch: Watch | None = None
        while left:
            if self.stops():
                raise Interrupted(self.job.path)
            point = left.pop(0)
            run = self.run_of(point)
            run.label = f"{len(pending) - len(left)} of {len(pending)}: {run.label}"
            begin = time.monotonic()
            outcome, text = attempt(run, self.measure)
            if outcome == INTERRUPTED:
                raise Interrupted(self.job.path)
            if outcome == FAILED:
                failures[point.name] = text
            if outcome != BUSY:
                self.job.alive()
                busy, cost = 0, 0.0
                continue
            left.append(point)  # the others first
            busy, cost = busy + 1, cost + time.monotonic() - begin
            if busy >= len(left):
                watch = watch or self._begin_to_wait(left)
                self._wait(watch, max(_BUSY_SECONDS, _LOOK_SHARE * cost))
                busy, cost = 0, 0.0
        if watch is not None:
            watch.close(f"{len(self.points) - len(failures)} of {len(self.points)} points done")
        return failures

    def _begin_to_wait(self, points: list[Point]) -> "Watch":
        names = [point.name for point in points]
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        print(f"waiting for {shown}: other processes run what is left", file=sys.stderr)
        return Watch(self)

    def _wait(self, watch: "Watch", seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.stops():
            watch.update()
            time.sleep(0.1)

    def collect(self) -> list[RunFile] | None:
        """The finished run files of all points; None where one is gone or begun anew meanwhile."""
        try:
            found = [read(self.run_of(point).path) for point in self.points]
        except RunFileError:
            return None
        done = all(run.attributes.get("status") == "done" for run in found)
        return found if done else None


class Watch:
    """The driver's one line, read from the files of the points."""

    def __init__(self, scan: Scan):
        self._scan = scan
        self._progress = Progress(f"{scan.job.label} scan")
        self._next = 0.0
        self._next_main = time.monotonic()

    def update(self) -> None:
        """Show how many points are done and running; say in the main file that the driver lives."""
        from phasegrok.run.status import point_rows

        now = time.monotonic()
        if now < self._next:
            return
        job = self._scan.job
        rows = point_rows(job.path.parent, [point.name for point in self._scan.points], True)
        done = sum(row.status == "done" for row in rows)
        running = sum(row.status == "running" for row in rows)
        share = sum(row.share for row in rows) / len(rows)
        self._progress.update(share, f"{done} of {len(rows)} points done, {running} running")
        cost = time.monotonic() - now
        self._next = now + max(1.0, 20.0 * cost)
        if now - self._next_main > job.interval():
            self._next_main = now
            job.alive()

    def close(self, status: str) -> None:
        """The last line."""
        self._progress.close(status)


def source_of(function: Callable, script: Path) -> dict[str, Any]:
    """Where a worker finds a function or class: a module, or the script itself.

    Raises
    ------
    InputError
        If it has no name by which a worker could find it.
    """
    name = getattr(function, "__qualname__", "<no name>")
    if "<" in name:  # <locals>, <lambda>
        raise InputError(f"{script.name}: {name} must be a function of the script or of a module, "
                         "so that workers find it; or take --engine serial")
    return {"module": function.__module__, "name": name}
