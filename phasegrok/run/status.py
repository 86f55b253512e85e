"""How far the runs of a folder are, read from their files alone.

So it can be asked from any terminal or machine that sees the folder, while runs write.
"""

import dataclasses
import json
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from phasegrok.run.lock import is_alive
from phasegrok.run.progress import duration
from phasegrok.run.runfile import RunFileError, read_attributes

_STALE_INTERVALS = 3.0  # without a checkpoint, before a run counts as dead
_STALE_SECONDS = 60.0  # at least: kernels may be compiling


@dataclasses.dataclass
class Row:
    """One run file, or a point of a scan that has none yet.

    Attributes
    ----------
    status : str
        ``missing`` (a point that nobody runs), ``waiting`` (its turn will come), ``running``,
        ``interrupted``, ``done``, ``failed``, ``stale`` (says running, and its process is dead or
        has written nothing for several checkpoint intervals) or ``unreadable``.
    share : float
        Share of the work that the last checkpoint holds.
    age : float
        Seconds since the last checkpoint; NaN without one.
    left : float
        Seconds of work left, at the pace so far; NaN where it is not known.
    host, note : str
    """

    name: str
    status: str
    share: float = 0.0
    age: float = float("nan")
    left: float = float("nan")
    host: str = ""
    note: str = ""


def rows_of(path: Path) -> list[Row]:
    """Every run file in a folder and below, and the points that scans there expect; or one file.

    Raises
    ------
    RunFileError
        If there is no such folder or file, or no run file in it.
    """
    path = Path(path)
    if path.is_file():
        return [_row(path, path.name)]
    if not path.is_dir():
        raise RunFileError(f"there is no folder or run file {path}")
    def name_of(file: Path) -> str:
        return str(file.relative_to(path).with_suffix(""))

    found = {file: _row(file, name_of(file)) for file in sorted(path.rglob("*.h5"))}
    if not found:
        raise RunFileError(f"there is no run file in {path}")
    rows = dict(found)
    for file in found:  # a scan comes after its points, which have its order
        points = [file.parent / f"{point}.h5" for point in _points_of(file)]
        waiting = _expected(found[file].status == "running"
                            or any(found[p].status == "running" for p in points if p in found))
        for point in points:
            rows.pop(point, None)
            rows[point] = found.get(point) or Row(name_of(point), waiting)
        rows[file] = rows.pop(file)
    return list(rows.values())


def point_rows(folder: Path, names: Iterable[str], alive: bool) -> list[Row]:
    """Rows of the points of one scan; ``alive``: somebody will run those that have no file."""
    rows = []
    for name in names:
        file = folder / f"{name}.h5"
        rows.append(_row(file, name) if file.exists() else Row(name, _expected(alive)))
    return rows


def table_of(rows: list[Row]) -> str:
    """The rows as a table, and a line that sums up."""
    from phasegrok.text import table

    cells = [[row.name, row.status, f"{100.0 * row.share:.0f} %", duration(row.age),
              duration(row.left),
              row.host, row.note] for row in rows]
    header = ["run", "status", "done", "checkpoint", "left", "host", ""]
    return f"{table(header, cells)}\n{summary_of(rows)}"


def summary_of(rows: list[Row]) -> str:
    """How many runs are in which state, and how far all of them are."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    order = ["done", "running", "waiting", "interrupted", "stale", "failed", "missing",
             "unreadable"]
    order += sorted(counts.keys() - set(order))  # what a script of its own has written
    said = ", ".join(f"{counts[name]} {name}" for name in order if name in counts)
    return f"{len(rows)} runs: {said}; {100.0 * sum(r.share for r in rows) / len(rows):.1f} % done"


def _expected(alive: bool) -> str:
    return "waiting" if alive else "missing"


def _points_of(file: Path) -> list[str]:
    try:
        return json.loads(read_attributes(file).get("points", "[]"))
    except RunFileError:
        return []


def _row(file: Path, name: str) -> Row:
    try:
        found = read_attributes(file)
    except RunFileError as error:
        return Row(name, "unreadable", note=str(error).removeprefix(f"{file}").lstrip(" :"))
    age = max(0.0, time.time() - float(found.get("updated", 0.0)))
    status = str(found.get("status", "done"))
    share = 1.0 if status == "done" else min(1.0, float(found.get("done_share", 0.0)))
    host = str(found.get("hostname", ""))
    row = Row(name, status, share, age, 0.0 if status == "done" else float("nan"), host,
              str(found.get("error", "")))
    if status == "running":
        _judge(row, found)
    return row


def _judge(row: Row, found: dict[str, Any]) -> None:
    """Whether a run that says that it runs is alive, and how long it will take."""
    interval = float(found.get("checkpoint_s", 60.0))
    here = row.host == socket.gethostname()
    alive = here and "pid" in found and is_alive(int(found["pid"]))
    if here and "pid" in found and not alive:
        row.status, row.note = "stale", "its process is dead"
    elif not alive and row.age > _STALE_INTERVALS * interval + _STALE_SECONDS:
        row.status, row.note = "stale", "no checkpoint for several intervals"
    elif row.share > 0.0:
        made = float(found.get("wall_s", 0.0))
        row.left = max(0.0, made * (1.0 - row.share) / row.share - row.age)
