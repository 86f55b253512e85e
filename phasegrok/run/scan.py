"""Scans: many points, one run file each, over one process, many, or a cluster.

The files are the truth.  A point is done when its file says so, and whatever is not done is run,
from its checkpoint: after a killed worker by this driver, after a killed driver or machine by the
next one.  So a kill costs at most a checkpoint interval, and the result is that of an uninterrupted
scan, bit for bit.
"""

import importlib
import re
from collections.abc import Callable

from phasegrok.errors import InputError
from phasegrok.run.job import Job
from phasegrok.run.point import Point, Scan
from phasegrok.run.runfile import RunFile
from phasegrok.run.script import check_engine
from phasegrok.run.stopping import Unfinished

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=+,-]*")


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
        If points failed by themselves.
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
    scan.clear()
    found = None
    while found is None:  # again where a task that came late with --force has cleared a point
        failures = _run(scan, scan.pending(), engine, workers)
        if failures:
            raise Unfinished([f"{name}: {text}" for name, text in failures.items()])
        found = scan.collect()
    return found


def _run(scan: "Scan", pending: list[Point], engine: str, workers: int) -> dict[str, str]:
    """Run points where they are to run; returns sentences on those that failed."""
    if not pending:
        return {}
    if engine == "serial":
        return scan.run_here(pending)
    _need_dask()
    from phasegrok.run import workers as distributed

    return distributed.run(scan, pending, engine, workers)


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
