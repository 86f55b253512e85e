"""One run and its file: identity, checkpoints by the clock, resume, answers to signals.

:meth:`Job.drive` moves a protocol (:mod:`phasegrok.protocols.protocol`) to its end in calls of less
than a second, with checkpoints by the clock, and answers signals in between.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phasegrok.errors import InputError, Stopped
from phasegrok.run import stopping
from phasegrok.run.machine import announce_compilation, check_memory, data_folder
from phasegrok.run.progress import Progress
from phasegrok.run.provenance import of_card, provenance, this_process
from phasegrok.run.script import Script, option
from phasegrok.run.stopping import Interrupted

if TYPE_CHECKING:  # --help is instant, and asks for neither
    from phasegrok.protocols.protocol import Protocol, S

_BLOCK_SECONDS = 0.4  # aimed length of a compiled call; a signal waits for its end
_WRITE_SPEED = 2e8  # bytes of a checkpoint a second, before one was written
_WALL_MARGIN = 2.0  # seconds left for the end of the process when --wall ends
OVERHEAD = 50.0  # a checkpoint interval is at least this many times the cost of a checkpoint
_PART_OF = "part_of"
_CHANGED = "resumed_after_change"


class Job:
    """One run: its card, parameters and seed, the file it writes, and what the file held before.

    Attributes
    ----------
    card : cards.Card or None
        The card (None for a run over several cards).
    parameters : dataclass
        The script's parameters.
    seed : int
    path : Path
        The run file, behind every symbolic link on the way to it.
    done : bool
        The file holds this run, finished: nothing to do.
    label : str
        What the progress line calls this run.
    withdrawn : callable
        Whether the scan that this run is a point of wants it to stop.
    silent : bool
        No progress line.
    """

    def __init__(self, script: "Script", card, parameters, seed: int, path: Path | None = None,
                 part_of: Path | None = None, extra: dict[str, Any] | None = None,
                 code_sha256: str = ""):
        self.script = script
        self.card = card
        self.parameters = parameters
        self.seed = seed
        self._part_of = part_of
        self.extra = extra or {}
        self._code_sha256 = code_sha256 or (card.code_sha256 if card is not None else "")
        self._start_sha256 = card.start_sha256 if card is not None else ""
        self.run_id = self._identity()
        self.path = Path(path) if path else self._default_path()
        self.done = False
        self.label = f"{card.name if card is not None else 'cards'} {script.name}"
        self.withdrawn: Callable[[], bool] = lambda: False
        self.silent = False
        self._previous: Any = None
        self._lock: Any = None
        self._wall_before = 0.0
        self._started = time.time()
        self._start_wall = time.monotonic()
        self._last_write = time.monotonic()
        self._write_cost = 0.0
        self._system_groups: dict[str, Any] = {}
        self._groups: dict[str, Any] = {}
        self._state: dict[str, Any] | None = None
        self._total: int | None = None
        self._share = 0.0
        self._points: list[str] | None = None
        self._changes: dict[str, str] = {}
        self._replaced: float | None = None  # when the finished run was written that is wanted anew

    # --- identity ---

    @property
    def path(self) -> Path:
        """The run file."""
        return self._path

    @path.setter
    def path(self, path: Path) -> None:
        from phasegrok.run import runfile

        self._path = runfile.resolved(path)

    def _identity(self) -> str:
        kept = {f.name: getattr(self.parameters, f.name)
                for f in dataclasses.fields(self.parameters) if not f.metadata.get("extends")}
        arrays = {}
        if self.card is not None:
            arrays = {name: hashlib.sha256(a.tobytes()).hexdigest()
                      for name, a in self.card.arrays.items()}
        # a part is found by its name: if the user's code has changed, _check_sources says so
        code = self._code_sha256 + self._start_sha256 if (
            self.card and self._part_of is None) else ""
        what = [self.script.name, self.card.text if self.card else "", arrays, kept, self.seed,
                code, self.extra]
        return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()

    def _default_path(self) -> Path:
        card = self.card.name if self.card is not None else "cards"
        name = f"{self.script.name}-{card}-{self.run_id[:10]}"
        return data_folder() / (name + (".h5" if self.card is not None else ""))

    # --- opening ---

    def open(self, force: bool, resume: bool = False, lock: bool = True) -> None:
        """Take the file's name; find out whether this run is new, begun or done.

        Without ``lock`` the name is not taken: several processes with ``--point`` share one main
        file, which each of them writes whole.

        Raises
        ------
        InputError
            If the file is another run (without ``--force``), its script has changed, or it is
            called as its figure is.
        RunFileError
            If another process runs it, or the file is not a run file.
        """
        from phasegrok.run import runfile
        from phasegrok.run.lock import Lock

        if self.path.suffix.lower() in runfile.PICTURES:
            raise InputError(f"{self.path} is the name of a figure, which would replace the run: "
                             "give an --out that ends with .h5")
        if lock:
            self._lock = Lock(self.path)
            self._lock.acquire()
        try:
            self._read_previous(force, resume)
        except BaseException:
            self.close()
            raise
        if self.card is not None and self.card.arrays:
            self._system_groups = {"system": arrays_group(self.card.arrays)}

    def _read_previous(self, force: bool, resume: bool) -> None:
        previous = self._found(force, resume)
        if previous is None:
            return
        if resume and self._part_of is None:  # its card and settings are the file's own
            self.run_id = previous.attributes.get("run_id", self.run_id)
        if previous.attributes.get("run_id") != self.run_id:
            if force:
                return
            raise InputError(
                f"{self.path} is another run ({previous.attributes.get('title')}, "
                f"{previous.attributes.get('command_line')}): give another --out, or --force to "
                "replace it"
            )
        if force and not resume and previous.attributes.get("status") == "done":
            self._replaced = previous.attributes.get("updated")
            return  # the same run, wanted anew
        self._check_sources(previous, force)
        self._previous = previous
        if "points" in previous.attributes:
            self._points = json.loads(previous.attributes["points"])
        self._share = float(previous.attributes.get("done_share", 0.0))
        self._wall_before = float(previous.attributes.get("wall_s", 0.0))
        self._started = float(previous.attributes.get("started", self._started))
        self.done = previous.attributes.get("status") == "done" and not self._is_extended(previous)

    def _found(self, force: bool, resume: bool):
        """What is at the path: a run, or None where the path is free or may be replaced."""
        from phasegrok.run import runfile

        if not self.path.exists():
            return None
        if self.path.is_file() and not os.access(self.path, os.W_OK):
            raise InputError(f"{self.path} is read-only: make it writable, or begin the run again "
                             "with another --out")
        try:
            return runfile.read(self.path, with_state=True)
        except runfile.RunFileError:
            if force and not resume and runfile.is_hdf5(self.path):
                return None  # a damaged run file; anything else is somebody's work
            raise

    def _is_extended(self, previous) -> bool:
        """Whether a total (sweeps, steps) is asked for that is larger than the one reached.

        Raises
        ------
        InputError
            On resume, if it is smaller.
        """
        reached = int(previous.attributes.get("total", 0))
        earlier = json.loads(previous.attributes.get("parameters", "{}"))
        for f in dataclasses.fields(self.parameters):
            asked = getattr(self.parameters, f.name) if f.metadata.get("extends") else None
            if asked == earlier.get(f.name):  # of a ramp the total is another number
                continue
            if asked is not None and asked < reached and self.script.resuming:
                raise InputError(f"--{option(f)} {asked}: {self.path} has a total of {reached}, "
                                 f"which is not cut short: leave --{option(f)} out")
            if asked is not None and asked > reached:
                return True
        return False

    def _check_sources(self, previous, force: bool) -> None:
        earlier = previous.attributes.get(_CHANGED)
        changes = [earlier] if earlier else []
        for key, now in self._sources().items():
            before = previous.attributes.get(key, now)
            if before == now:
                continue
            name = key.removesuffix("_sha256")
            if not force:
                raise InputError(
                    f"{self.path}: {name} has changed since this run began, so a resumed run would "
                    "mix two versions; --force resumes all the same and records it, and the "
                    "command that began the run begins it again with another --out"
                )
            changes.append(f"{name} was {before}")
        if changes:
            self._changes = {_CHANGED: "; ".join(changes)}

    def _sources(self) -> dict[str, str]:
        sources = {"script_sha256": self.script.sha256}
        if self._code_sha256:
            sources["code_sha256"] = self._code_sha256
        start = self._start_sha256
        if not start and self._previous is not None:  # a resume goes on without the file
            start = self._previous.attributes.get("start_from_sha256", "")
        if start:
            sources["start_from_sha256"] = start
        return sources

    def close(self) -> None:
        """Give the file's name back, and keep what was measured where its analysis has failed."""
        self._keep()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _keep(self) -> None:
        """Write a finished measurement of which there are no results: resume analyses it again."""
        from phasegrok.run import runfile

        state, self._state = self._state, None
        if state is None or self.done:
            return
        with contextlib.suppress(runfile.RunFileError):  # the failure itself is being told
            self.write("interrupted", self._groups, state)
            print(f"{self.path} holds what was measured; phasegrok resume analyses it again",
                  file=sys.stderr)

    def read(self):
        """The run file as it is now."""
        from phasegrok.run import runfile

        return runfile.read(self.path)

    def part(self, name: str, card, seed: int | None = None, **what: str) -> "Job":
        """A run that is a part of this one, in its own file ``name`` beside this file; not open.

        ``what`` tells it from other parts that might have the same name.
        """
        return Job(self.script, card, self.parameters, self.seed if seed is None else seed,
                   self.path.parent / name, part_of=self.path, extra={"part": name} | what)

    def child(self, name: str, card) -> "Job":
        """A part of this run, opened: its name is taken and what it holds is known."""
        job = self.part(name, card)
        job.open(self.script.force, self.script.resuming)
        return job

    def add_systems(self, groups: dict[str, Any]) -> None:
        """Groups with the disorder of several cards, for a run over all of them."""
        self._system_groups = groups

    # --- driving ---

    def drive(self, protocol: "Protocol[S]", label: str = "") -> "S":
        """Run ``protocol`` from its checkpoint, or from the start, to its end; returns its state.

        Raises
        ------
        Interrupted
            After a signal, with the checkpoint written.
        InputError
            If the state would not fit into memory, or cannot be begun or continued.
        """
        try:
            return self._drive(protocol, label)
        except Stopped:  # while kernels compiled in another process: the state is the last one
            if self._previous is None and self._write_cost == 0.0:
                self.write("interrupted", self._groups)
            else:
                self.mark("interrupted")
            raise Interrupted(self._part_of or self.path) from None

    def _drive(self, protocol: "Protocol[S]", label: str) -> "S":
        from phasegrok.run import runfile

        check_memory(protocol, self.silent)
        announce_compilation()
        state = self._begin(protocol)
        progress = Progress(label or self.label, self.silent)
        n = 1
        total = max(protocol.total(), 1)
        while protocol.done(state) < protocol.total():
            begin = time.monotonic()
            protocol.advance(state, n)
            elapsed = max(time.monotonic() - begin, 1e-6)
            writing = self._write_cost or protocol.memory() / _WRITE_SPEED
            stopping.Block.seconds = elapsed + writing
            n = max(1, int(n * min(2.0, max(0.3, _BLOCK_SECONDS / elapsed))))
            self._share = protocol.done(state) / total
            progress.update(self._share, protocol.status(state))
            if self._is_to_stop(elapsed):
                self._write_state("interrupted", protocol, state)
                progress.close("interrupted")
                raise Interrupted(self._part_of or self.path)
            if time.monotonic() - self._last_write > self.interval():
                self._checkpoint(protocol, state)
        progress.close(protocol.status(state))
        self._state = runfile.pack_dataclass(state)
        return state

    def wall_is_over(self, block_seconds: float = 0.0) -> bool:
        """Whether ``--wall`` leaves no more than one block, a checkpoint and the process's end."""
        room = _WALL_MARGIN + 2.0 * (block_seconds + self._write_cost)
        return self.script.deadline - time.time() < room

    def _is_to_stop(self, block_seconds: float) -> bool:
        return (bool(stopping.received) or self.withdrawn()
                or self.wall_is_over(block_seconds))

    def _begin(self, protocol: "Protocol[S]") -> "S":
        """The state of the checkpoint, or a new one."""

        self._total = protocol.total()
        if self._previous is None or not self._previous.state:
            try:
                return protocol.init(self.seed)
            except ValueError as error:  # a start that this system does not have or reach
                raise InputError(f"{self.card.name}: {error}") from error
        before = self._previous.attributes.get("total", self._total)
        if self._total < before:
            raise InputError(f"{self.path} was begun with a total of {before} {protocol.unit}, and "
                             f"{self._total} would cut it short: leave it out, or give {before} or "
                             "more (a ramp keeps its own)")
        try:
            return protocol.restore(self._previous.state)
        except ValueError as error:
            raise InputError(f"{self.path} cannot be continued so: {error}") from error
        except (TypeError, KeyError) as error:
            raise InputError(f"{self.path}: its checkpoint is of another version of phasegrok and "
                             f"cannot be continued: {error}") from error

    def interval(self) -> float:
        """Seconds between checkpoints."""
        return max(self.script.checkpoint_seconds, OVERHEAD * self._write_cost)

    def _checkpoint(self, protocol: "Protocol[S]", state: "S") -> None:
        from phasegrok.run import runfile

        try:
            self._write_state("running", protocol, state)
        except runfile.RunFileError as error:  # the run goes on: room may be made meanwhile
            print(f"\nwarning: {error}", file=sys.stderr, flush=True)
            self._last_write = time.monotonic()

    def _write_state(self, status: str, protocol: "Protocol[S]", state: "S") -> None:
        """A checkpoint, with the results so far; if they cannot be had yet, without."""
        from phasegrok.estimates import estimated
        from phasegrok.run import runfile

        failed: dict[str, Any] = {}
        groups = estimated(failed, "results so far", lambda: protocol.result(state))
        self.write(status, failed if groups is None else groups, runfile.pack_dataclass(state))

    def finish(self, groups: dict[str, Any], **attributes) -> None:
        """Publish the finished run."""
        self._share = 1.0
        self.write("done", groups, self._state, **attributes)
        self.done = True

    def interrupted(self) -> None:
        """Mark the run as interrupted; what it holds stays."""
        self.write("interrupted", self._groups, self._state)

    def expect(self, names: list[str]) -> None:
        """Say in the file, before they are run, which points this scan has; also that it runs."""
        self._points = [*(self._points or []), *(n for n in names if n not in (self._points or []))]
        self.write("running", self._groups)

    def alive(self) -> None:
        """Write the file of a scan again, so that others see that its driver lives."""
        from phasegrok.run import runfile

        with contextlib.suppress(runfile.WriteError):  # a full disk: the next time, perhaps
            self.write("running", self._groups)

    def replaces(self) -> bool:
        """Whether the open file holds something that ``--force`` wants replaced."""
        return self._previous is None and self.path.exists()

    def starts_in_vain(self) -> int:
        """How many processes before this one died on the file with no checkpoint between."""
        attributes = {} if self._previous is None else self._previous.attributes
        return int(attributes.get("starts", 0)) if attributes.get("status") == "running" else 0

    def failed_meanwhile(self) -> str:
        """Why this run failed in another process since the command began; empty if it did not."""
        found = {} if self._previous is None else self._previous.attributes
        if found.get("status") != "failed" or found.get("updated", 0.0) < self.script.began:
            return ""
        return str(found.get("error", "it failed in another process"))

    def mark(self, status: str, **attributes) -> None:
        """Change the status of what the file holds, and of a new file make the first, empty one."""
        from phasegrok.run import runfile

        self._keep()
        if not self.path.exists():
            self.write(status, {}, **attributes)
            return
        found = runfile.read(self.path, with_state=True)
        found.attributes.pop("error", None)
        found.attributes |= {"status": status, **this_process(), "checkpoint_s": self.interval()}
        found.attributes |= attributes
        runfile.write(self.path, found)

    def write(self, status: str, groups: dict[str, Any], state=None, **attributes) -> None:
        """Write the run file as it stands; not over the finished scan of another task."""
        from phasegrok.run import runfile

        self._groups = groups
        everything = {**self._system_groups, **groups}
        with self._turn():
            begin = time.monotonic()
            if self._others_have_finished():
                return
            runfile.write(self.path, runfile.RunFile(
                self._attributes(status) | attributes, everything, state))
        self._last_write = time.monotonic()
        self._write_cost = self._last_write - begin

    def _is_shared(self) -> bool:
        """Whether this is the main file of a scan, which all tasks of an array write."""
        return self.script.share is not None and self._part_of is None

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Between looking at a shared file and writing it, no other task writes it."""
        from phasegrok.run import runfile
        from phasegrok.run.lock import Lock

        if not self._is_shared():
            yield
            return
        lock = Lock(self.path.with_suffix(".turn"))
        while True:
            try:
                lock.acquire()
                break
            except runfile.BusyError:
                time.sleep(0.02)
        try:
            yield
        finally:
            lock.release()

    def _others_have_finished(self) -> bool:
        """Whether a task of the same array has written the result of the scan meanwhile."""
        from phasegrok.run import runfile

        if not self._is_shared():
            return False
        try:
            found = runfile.read_attributes(self.path)
        except runfile.RunFileError:  # there is none yet
            return False
        return (found.get("status") == "done" and found.get("run_id") == self.run_id
                and found.get("updated") != self._replaced)

    def _attributes(self, status: str) -> dict[str, Any]:
        card = self.card
        attributes: dict[str, Any] = {
            "title": card.model.title if card is not None else self.script.title,
            "run_id": self.run_id,
            "experiment": self.script.name,
            "parameters": json.dumps(dataclasses.asdict(self.parameters)),
            "command_line": self.script.command_line,
            "script": str(self.script.path),
            "seed": self.seed,
            "status": status,
            "started": self._started,
            "wall_s": self._wall_before + time.monotonic() - self._start_wall,
            "units": card.model.units if card is not None else "reduced, k_B = 1",
            "references": card.model.reference if card is not None else "",
            **self._sources(),
            **provenance(),
            **this_process(),
            "checkpoint_s": self.interval(),
            "done_share": self._share if math.isfinite(self._share) else 0.0,
            **self.extra,
            **self._changes,
        }
        if self._total is not None:
            attributes["total"] = self._total
        if card is not None:
            attributes |= of_card(card)
        if self._points is not None:
            attributes["points"] = json.dumps(self._points)
        if self._part_of is not None:
            attributes[_PART_OF] = os.path.relpath(self._part_of, self.path.parent)
        return attributes


def arrays_group(arrays):
    """A group of plain arrays, as of the disorder, each axis with a dimension of its own."""
    from phasegrok.groups import Group

    group = Group()
    for name, array in arrays.items():
        dims = tuple(f"{name}_{axis}" for axis in range(array.ndim))
        for axis, dim in enumerate(dims):
            group.add(dim, range(array.shape[axis]), dim)
        group.add(name, array, dims, "1", f"{name} of this run")
    return group
