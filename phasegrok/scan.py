"""Scans: many points, one run file each, over one process, many, or a cluster.

The files are the truth.  A point is done when its file says so, and whatever is not done is run,
from its checkpoint: after a killed worker by this driver, after a killed driver or machine by the
next one.  So a kill costs at most a checkpoint interval, and the result is that of an uninterrupted
scan, bit for bit.
"""

import dataclasses
import hashlib
import importlib
import re
import shlex
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from phasegrok import stopping
from phasegrok.cards import Card, InputError
from phasegrok.job import Job
from phasegrok.options import check_engine
from phasegrok.progress import Progress
from phasegrok.runfile import BusyError, RunFile, RunFileError, read
from phasegrok.stopping import Interrupted, Unfinished

DONE, INTERRUPTED, FAILED, BUSY = "done", "interrupted", "failed", "busy"
_MOST_STARTS = 5  # processes that may die on a point with no checkpoint between
_BUSY_SECONDS = 2.0  # between two looks at a point that another process runs
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+,-]*")


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


def map_points(job: Job, measure: Callable[[Job], None], points: list[Point],
               engine: str | None = None, workers: int | None = None) -> list[RunFile]:
    """Run ``measure`` at every point that is not done yet; returns when all are.

    Parameters
    ----------
    job : Job
        The scan; its file (scan.h5) names the points from now on.
    measure : callable
        ``measure(job)`` of a point: ``job.card`` is the point's card, ``job.seed`` a seed of its
        own; it ends with ``job.finish(groups)``.  A function of the script or of a module.
    points : list of Point
    engine : str, optional
        ``serial``, ``local``, ``slurm`` or the address of a dask scheduler; None: ``--engine``.
    workers : int, optional
        Worker processes; None: ``--workers``.

    Returns
    -------
    list of RunFile
        In the order of ``points``.

    Raises
    ------
    Interrupted
        After a signal or at the end of the wall time, with every running point at a checkpoint.
    Unfinished
        If points failed by themselves, or with ``--point i/n`` some are not done elsewhere yet.
    InputError
        If the engine or the names of the points cannot be used.
    """
    points = list(points)
    _check(points)
    engine = job.script.engine if engine is None else engine
    workers = job.script.workers if workers is None else workers
    check_engine(engine, workers)
    scan = Scan(job, measure, points)
    job.expect([point.name for point in points])
    ours = scan.share()
    pending = [point for point in ours if not scan.prepare(point)]
    if not pending:
        failures = {}
    elif engine == "serial":
        failures = scan.run_here(pending)
    else:
        _need_dask()
        from phasegrok import workers as distributed

        failures = distributed.run(scan, pending, engine, workers)
    if failures:
        raise Unfinished([f"{name}: {text}" for name, text in failures.items()], failed=True)
    return scan.collect(ours)


def _check(points: list[Point]) -> None:
    names = [point.name for point in points]
    for name in names:
        if not _NAME.fullmatch(name) or name == "scan":
            raise InputError(f"a point cannot be called {name!r}: its file would be {name}.h5")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"two points of a scan are called {', '.join(twice)}")


def _need_dask() -> None:
    try:
        importlib.import_module("distributed")
    except ImportError as error:
        raise InputError("--engine: worker processes need dask.distributed, which is not installed:"
                         ' pip install "phasegrok[cluster]", or in a clone pip install -e '
                         '".[cluster]"') from error


def point_seed(seed: int, name: str) -> int:
    """Seed of the point ``name``: a descendant of the scan's, below 2^63."""
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little")
    sequence = np.random.SeedSequence(seed, spawn_key=(key >> 32, key & 0xFFFFFFFF))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def attempt(run: Job, measure: Callable[[Job], None]) -> tuple[str, str]:
    """Run one point, from its checkpoint if it has one: how it ended, and the reason in words.

    A point that fails by itself (bad input, arithmetic, an error of the code) says so in its file
    and is not run again by this driver.
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
        return _failed(run, f"its measurement ended the process: {error.code}")
    except Exception as error:  # the others go on
        traceback.print_exc()
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

    def share(self) -> list[Point]:
        """The points that this process runs: all, or those of ``--point i/n``."""
        if self.job.script.share is None:
            return self.points
        i, n = self.job.script.share
        return self.points[i - 1 :: n]

    def run_of(self, point: Point) -> Job:
        """The run of a point, not open."""
        run = self.job.part(f"{point.name}.h5", point.card, point_seed(self.job.seed, point.name),
                            measure=getattr(self.measure, "__qualname__", repr(self.measure)))
        run.label = f"{point.card.name} {point.name}"
        return run

    def prepare(self, point: Point) -> bool:
        """Whether a point is done; clears away what ``--force`` replaces."""
        run = self.run_of(point)
        script = run.script
        try:
            run.open(script.force, script.resuming)
        except RunFileError:  # an earlier driver's worker still lives, or the file is damaged
            return False
        try:
            if not run.done and run.replaces():
                run.path.unlink()
            return run.done
        finally:
            run.close()

    def stops(self) -> bool:
        """Whether this driver has been asked to stop, or its wall time ends."""
        return bool(stopping.received) or self.job.wall_is_over()

    def run_here(self, pending: list[Point]) -> dict[str, str]:
        """One point after the other in this process; returns sentences on those that failed."""
        failures: dict[str, str] = {}
        left, busy = list(pending), 0  # points that another process runs, since one that was not
        while left:
            if self.stops():
                raise Interrupted(self.job.path)
            point = left.pop(0)
            run = self.run_of(point)
            run.label = f"{len(pending) - len(left)} of {len(pending)}: {run.label}"
            outcome, text = attempt(run, self.measure)
            self.job.alive()
            if outcome == INTERRUPTED:
                raise Interrupted(self.job.path)
            if outcome == FAILED:
                failures[point.name] = text
            busy = busy + 1 if outcome == BUSY else 0
            if outcome == BUSY:
                left.append(point)  # the others first
            if busy == 1 and len(left) == 1:
                print(f"{text.split(':')[0]}: waiting for it", file=sys.stderr)
            if left and busy >= len(left):
                time.sleep(_BUSY_SECONDS)
        return failures

    def collect(self, ours: list[Point]) -> list[RunFile]:
        """The finished run files of all points.

        Raises
        ------
        Unfinished
            If this process ran a share of the points, and others are not done.
        """
        others = [point for point in self.points if point not in ours]
        missing = [point.name for point in others if not self._is_done(point)]
        if missing:
            raise Unfinished([self._missing(missing)], failed=False)
        return [read(self.run_of(point).path) for point in self.points]

    def _is_done(self, point: Point) -> bool:
        """Whether a point that another task runs is done; its file is only read."""
        run = self.run_of(point)
        try:
            run.open(False, resume=True, lock=False)
        except RunFileError:
            return False
        try:
            return run.done
        finally:
            run.close()

    def _missing(self, names: list[str]) -> str:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        path = shlex.quote(str(self.job.path))
        return (f"{len(self.points) - len(names)} of {len(self.points)} points are done; not yet: "
                f"{shown}; when they are: phasegrok resume {path}")


class Watch:
    """The driver's one line, read from the files of the points."""

    def __init__(self, scan: Scan):
        self._scan = scan
        self._progress = Progress(f"{scan.job.label} scan")
        self._next = 0.0
        self._next_main = time.monotonic()

    def update(self) -> None:
        """Show how many points are done and running; say in the main file that the driver lives."""
        from phasegrok.status import point_rows

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
