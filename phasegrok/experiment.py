"""What every script in experiments/ shares: command line, run file, progress, signals, resume.

A script is a docstring, a dataclass of parameters, ``run(job)`` and a call of :func:`main`.  A
*protocol* is an object with ``init(seed) -> state``, ``advance(state, n)``, ``total()``,
``done(state)``, ``status(state)`` and ``result(state) -> groups``; its state is a plain dataclass
of arrays, and writing it is the checkpoint.  :meth:`Job.drive` moves a protocol to its end in calls
of less than a second, with checkpoints by the clock, and answers signals in between.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import math
import os
import platform
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_BLOCK_SECONDS = 0.4  # aimed length of a compiled call; a signal waits for its end
_OVERHEAD = 50.0  # a checkpoint interval is at least this many times the cost of a checkpoint
_LARGEST = 2**63  # whole numbers are stored in 64 bits
_PART_OF = "part_of"
_CHANGED = "resumed_after_change"
EXIT_DONE, EXIT_FAILED, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 3


class Interrupted(Exception):
    """A signal asked to stop; the checkpoint at ``path`` resumes."""

    def __init__(self, path: Path):
        super().__init__(str(path))
        self.path = path


def parameter(default, help: str, *, quick=None, extends: bool = False, choices=None):
    """A field of a script's parameters: its meaning and unit become the option's help.

    Parameters
    ----------
    default : value
        Default; None: the card's setting.
    help : str
        Meaning and unit.
    quick : value, optional
        Default under ``--quick``.
    extends : bool
        A larger value continues the same run (``--sweeps``), so it does not make another run.
    choices : list, optional
        Allowed values.
    """
    metadata = {"help": help, "quick": quick, "extends": extends, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


# --- signals and progress -------------------------------------------------------------------------

_signal_received: list[int] = []


def _catch_signals() -> None:
    def note(number, frame):
        if _signal_received:  # a second one means: now
            raise KeyboardInterrupt
        _signal_received.append(number)
        print("\nstopping at the next checkpoint ...", file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGINT, note)


class Progress:
    """One line that says how far a run is: in place on a terminal, now and then in a log."""

    def __init__(self, label: str):
        self._label = label
        self._start = time.monotonic()
        self._shown = 0.0
        self._terminal = sys.stderr.isatty()
        self._first_share: float | None = None

    def update(self, share: float, status: str) -> None:
        """Show that ``share`` of the work is done."""
        now = time.monotonic()
        if self._first_share is None:
            self._first_share = share
        if now - self._shown < (0.2 if self._terminal else 15.0):
            return
        self._shown = now
        elapsed = now - self._start
        made = share - self._first_share
        left = f"{_duration(elapsed * (1.0 - share) / made)} left" if made > 0.01 else "..."
        line = f"{self._label}  {100 * share:5.1f} %  {_duration(elapsed)}, {left}  {status}"
        if self._terminal:
            width = os.get_terminal_size(sys.stderr.fileno()).columns
            print(f"\r\033[K{line[: width - 1]}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self, status: str) -> None:
        """The last line of this run."""
        start = "\r\033[K" if self._terminal else ""
        elapsed = _duration(time.monotonic() - self._start)
        print(f"{start}{self._label}  {status} ({elapsed})", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    seconds = int(seconds)
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 5400:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


# --- one run, one file ----------------------------------------------------------------------------


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
        The run file.
    done : bool
        The file holds this run, finished: nothing to do.
    """

    def __init__(self, script: "Script", card, parameters, seed: int, path: Path | None = None,
                 part_of: Path | None = None, extra: dict[str, Any] | None = None,
                 code_sha256: str = ""):
        self.script = script
        self.card = card
        self.parameters = parameters
        self.seed = seed
        self._part_of = part_of
        self._extra = extra or {}
        self._code_sha256 = code_sha256 or (card.code_sha256 if card is not None else "")
        self.run_id = self._identity()
        self.path = Path(path) if path else self._default_path()
        self.done = False
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
        self._changes: dict[str, str] = {}

    # --- identity ---

    def _identity(self) -> str:
        kept = {f.name: getattr(self.parameters, f.name)
                for f in dataclasses.fields(self.parameters) if not f.metadata.get("extends")}
        arrays = {}
        if self.card is not None:
            arrays = {name: hashlib.sha256(a.tobytes()).hexdigest()
                      for name, a in self.card.arrays.items()}
        # a part is found by its name: if the user's code has changed, _check_sources says so
        code = self._code_sha256 if self.card and self._part_of is None else ""
        what = [self.script.name, self.card.text if self.card else "", arrays, kept, self.seed,
                code, self._extra]
        return hashlib.sha256(json.dumps(what, sort_keys=True, default=str).encode()).hexdigest()

    def _default_path(self) -> Path:
        card = self.card.name if self.card is not None else "cards"
        name = f"{self.script.name}-{card}-{self.run_id[:10]}"
        return data_folder() / (name + (".h5" if self.card is not None else ""))

    # --- opening ---

    def open(self, force: bool, resume: bool = False) -> None:
        """Take the file's name; find out whether this run is new, begun or done.

        Raises
        ------
        InputError
            If the file is another run (without ``--force``) or its script has changed.
        RunFileError
            If another process runs it, or the file is not a run file.
        """
        from phasegrok import runfile

        self._lock = runfile.Lock(self.path)
        self._lock.acquire()
        try:
            self._read_previous(force, resume)
        except BaseException:
            self.close()
            raise
        if self.card is not None and self.card.arrays:
            self._system_groups = {"system": _arrays_group(self.card.arrays)}

    def _read_previous(self, force: bool, resume: bool) -> None:
        from phasegrok.cards import InputError

        previous = self._found(force, resume)
        if previous is None:
            return
        if resume and self._part_of is None:  # its card and settings are the file's own
            self.run_id = previous.attributes["run_id"]
        if previous.attributes.get("run_id") != self.run_id:
            if force:
                return
            raise InputError(
                f"{self.path} is another run ({previous.attributes.get('title')}, "
                f"{previous.attributes.get('command_line')}): give another --out, or --force to "
                "replace it"
            )
        if force and not resume and previous.attributes.get("status") == "done":
            return  # the same run, wanted anew
        self._check_sources(previous, force)
        self._previous = previous
        self._wall_before = float(previous.attributes.get("wall_s", 0.0))
        self._started = float(previous.attributes.get("started", self._started))
        self.done = previous.attributes.get("status") == "done" and not self._is_extended(previous)

    def _found(self, force: bool, resume: bool):
        """What is at the path: a run, or None where the path is free or may be replaced."""
        from phasegrok import runfile
        from phasegrok.cards import InputError

        if not self.path.exists():
            return None
        if self.path.is_file() and not os.access(self.path, os.W_OK):
            raise InputError(f"{self.path} is read-only: make it writable, or give another --out")
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
        from phasegrok.cards import InputError

        reached = int(previous.attributes.get("total", 0))
        for f in dataclasses.fields(self.parameters):
            asked = getattr(self.parameters, f.name) if f.metadata.get("extends") else None
            if asked is not None and asked < reached and self.script.resuming:
                raise InputError(f"--{_option(f)} {asked}: {self.path} has {reached} already; a "
                                 "larger total extends it")
            if asked is not None and asked > reached:
                return True
        return False

    def _check_sources(self, previous, force: bool) -> None:
        from phasegrok.cards import InputError

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
                    "mix two versions; --force resumes all the same and records it, another --out "
                    "starts afresh"
                )
            changes.append(f"{name} was {before}")
        if changes:
            self._changes = {_CHANGED: "; ".join(changes)}

    def _sources(self) -> dict[str, str]:
        sources = {"script_sha256": self.script.sha256}
        if self._code_sha256:
            sources["code_sha256"] = self._code_sha256
        return sources

    def close(self) -> None:
        """Give the file's name back."""
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def read(self):
        """The run file as it is now."""
        from phasegrok import runfile

        return runfile.read(self.path)

    def child(self, name: str, card, **extra) -> "Job":
        """A run that is a part of this one, in its own file ``name`` beside this file."""
        job = Job(self.script, card, self.parameters, self.seed,
                  self.path.parent / name, part_of=self.path, extra={"part": name, **extra})
        job.open(self.script.force, self.script.resuming)
        return job

    # --- driving ---

    def drive(self, protocol, label: str = "") -> Any:
        """Run ``protocol`` from its checkpoint, or from the start, to its end; returns its state.

        Raises
        ------
        Interrupted
            After a signal, with the checkpoint written.
        InputError
            If the state would not fit into memory, or cannot be begun or continued.
        """
        from phasegrok import runfile

        check_memory(protocol)
        announce_compilation()
        state = self._begin(protocol)
        progress = Progress(label or f"{self.card.name} {self.script.name}")
        n = 1
        total = max(protocol.total(), 1)
        while protocol.done(state) < protocol.total():
            begin = time.monotonic()
            protocol.advance(state, n)
            elapsed = max(time.monotonic() - begin, 1e-6)
            n = max(1, int(n * min(2.0, max(0.3, _BLOCK_SECONDS / elapsed))))
            progress.update(protocol.done(state) / total, protocol.status(state))
            if _signal_received:
                self.write("interrupted", protocol.result(state), runfile.pack_dataclass(state))
                progress.close("interrupted")
                raise Interrupted(self._part_of or self.path)
            if time.monotonic() - self._last_write > self._interval():
                self._checkpoint(protocol, state)
        progress.close(protocol.status(state))
        self._state = runfile.pack_dataclass(state)
        return state

    def _begin(self, protocol):
        """The state of the checkpoint, or a new one."""
        from phasegrok.cards import InputError

        self._total = protocol.total()
        if self._previous is None or not self._previous.state:
            try:
                return protocol.init(self.seed)
            except ValueError as error:  # a start that this system does not have or reach
                raise InputError(f"{self.card.name}: {error}") from error
        before = self._previous.attributes.get("total", self._total)
        if self._total < before:
            raise InputError(f"{self.path} was begun with a total of {before} {protocol.unit}, and "
                             f"{self._total} would cut it short: give {before} or more")
        try:
            return protocol.restore(self._previous.state)
        except ValueError as error:
            raise InputError(f"{self.path} cannot be continued so: {error}") from error
        except (TypeError, KeyError) as error:
            raise InputError(f"{self.path}: its checkpoint is of another version of phasegrok and "
                             f"cannot be continued: {error}") from error

    def _interval(self) -> float:
        return max(self.script.checkpoint_seconds, _OVERHEAD * self._write_cost)

    def _checkpoint(self, protocol, state) -> None:
        from phasegrok import runfile

        try:
            self.write("running", protocol.result(state), runfile.pack_dataclass(state))
        except runfile.RunFileError as error:  # the run goes on: room may be made meanwhile
            print(f"\nwarning: {error}", file=sys.stderr, flush=True)
            self._last_write = time.monotonic()

    def finish(self, groups: dict[str, Any], **attributes) -> None:
        """Publish the finished run."""
        self.write("done", groups, self._state, **attributes)
        self.done = True

    def interrupted(self) -> None:
        """Mark the run as interrupted; what it holds stays."""
        self.write("interrupted", self._groups, self._state)

    def write(self, status: str, groups: dict[str, Any], state=None, **attributes) -> None:
        """Write the run file as it stands."""
        from phasegrok import runfile

        begin = time.monotonic()
        self._groups = groups
        everything = {**self._system_groups, **groups}
        runfile.write(self.path, runfile.RunFile(
            self._attributes(status) | attributes, everything, state))
        self._last_write = time.monotonic()
        self._write_cost = self._last_write - begin

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
            "updated": time.time(),
            "wall_s": self._wall_before + time.monotonic() - self._start_wall,
            "units": card.model.units if card is not None else "reduced, k_B = 1",
            "references": card.model.reference if card is not None else "",
            **self._sources(),
            **provenance(),
            **self._extra,
            **self._changes,
        }
        if self._total is not None:
            attributes["total"] = self._total
        if card is not None:
            attributes |= {"card": card.text, "card_name": card.name,
                           "card_folder": str(card.folder.resolve())}
        if self._part_of is not None:
            attributes[_PART_OF] = os.path.relpath(self._part_of, self.path.parent)
        return attributes


def check_memory(protocol) -> None:
    """Refuse a protocol whose state does not fit into the memory that is free."""
    from phasegrok.cards import InputError

    needed, free = protocol.memory(), _free_memory()
    if needed > 0.9 * free:
        raise InputError(f"this run needs {needed / 1e9:.1f} GB of memory and {free / 1e9:.1f} GB "
                         "are free: fewer replicas, walkers or clones, or a smaller system")


def _free_memory() -> int:
    """Bytes that this process may still take: of the machine, and of its control group."""
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError, StopIteration):
        line = next(x for x in Path("/proc/meminfo").read_text().splitlines() if "Available" in x)
        free = int(line.split()[1]) * 1024
    group = Path("/sys/fs/cgroup")  # a container's or a batch job's limit; "max": none
    with contextlib.suppress(OSError, ValueError):
        limit = int((group / "memory.max").read_text())
        free = min(free, limit - int((group / "memory.current").read_text()))
    return max(free, 0)


_announced = False


def announce_compilation() -> None:
    """Say once, when a kernel is not in the cache and is compiled, why nothing moves meanwhile."""
    global _announced
    if _announced:
        return
    _announced = True
    from numba.core import event

    class FirstCompilation(event.Listener):
        said = False

        def on_start(self, event):
            if not self.said:
                self.said = True
                print("compiling kernels (once; they are cached for later runs) ...",
                      file=sys.stderr, flush=True)

        def on_end(self, event):
            pass

    event.register("numba:compile", FirstCompilation())


def _arrays_group(arrays):
    from phasegrok import runfile

    group = runfile.Group()
    for name, array in arrays.items():
        dims = tuple(f"{name}_{axis}" for axis in range(array.ndim))
        for axis, dim in enumerate(dims):
            group.add(dim, range(array.shape[axis]), dim)
        group.add(name, array, dims, "1", f"{name} of this run")
    return group


def data_folder() -> Path:
    """Where runs go unless told otherwise: data/runs of the repository, or of this folder."""
    repository = Path(__file__).resolve().parent.parent
    inside = (repository / "setup.cfg").is_file() and os.access(repository, os.W_OK)
    return (repository if inside else Path.cwd()) / "data" / "runs"


_provenance: dict[str, Any] = {}


def provenance() -> dict[str, Any]:
    """Versions, machine and commit of this process."""
    if not _provenance:
        import importlib.metadata as metadata

        names = ("phasegrok", "numpy", "scipy", "numba", "h5py", "torch")
        versions = {"python": platform.python_version()}
        for name in names:
            with contextlib.suppress(metadata.PackageNotFoundError):
                versions[name] = metadata.version(name)
        _provenance.update({
            "versions": json.dumps(versions),
            "hostname": socket.gethostname(),
            "cpu": _cpu(),
            "device": "cpu",
            "git_commit": _git_commit(),
        })
    return _provenance


def _cpu() -> str:
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(x for x in lines if x.startswith("model name")).split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _git_commit() -> str:
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():
        return "not in a git checkout"

    def git(*arguments):
        return subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True,
                              text=True, timeout=10, check=True).stdout.strip()

    with contextlib.suppress(OSError, subprocess.SubprocessError):
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain") else "")
    return "unknown"


# --- the script -----------------------------------------------------------------------------------


@dataclasses.dataclass
class Script:
    """A script in experiments/ as it was called."""

    name: str
    title: str
    path: Path
    sha256: str
    command_line: str
    force: bool
    checkpoint_seconds: float
    quick: bool
    resuming: bool


def _parser(doc: str, parameters_class, path: Path, default_cards, folder: bool):
    summary = doc.strip().split("\n\n")[0].replace("\n", " ")
    parser = argparse.ArgumentParser(
        prog=f"python experiments/{path.name}", description=doc.strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.set_defaults(summary=summary)
    parser.add_argument("cards", nargs="*", metavar="CARD",
                        help=f"model cards, by name or path (default: {' '.join(default_cards)})")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="override a value of the card, e.g. --set L=16; may be repeated")
    parser.add_argument("--seed", type=_whole_number, metavar="N",
                        help="seed of all random numbers (1)")
    parser.add_argument("--out", type=Path, metavar="PATH",
                        help="folder of the run files" if folder else
                        "run file (with several cards: a folder)")
    parser.add_argument("--checkpoint", type=_finite, default=60.0, metavar="SECONDS",
                        help="time between checkpoints (60 s)")
    parser.add_argument("--quick", action="store_true", help="a smaller run, to have a look")
    parser.add_argument("--force", action="store_true",
                        help="replace what is at --out; resume though sources have changed")
    parser.add_argument("--resume", type=Path, help=argparse.SUPPRESS)
    for f in dataclasses.fields(parameters_class):
        option = "--" + _option(f)
        help = f.metadata["help"].replace("%", "%%")
        kind = _option_type(f)
        if kind is bool:
            parser.add_argument(option, action="store_true", default=None, help=help)
        else:
            shown = "" if f.default is None else f" ({f.default})"
            parser.add_argument(option, type=kind, default=None, help=help + shown,
                                choices=f.metadata["choices"], metavar=f.name.upper())
    return parser


def _option(f) -> str:
    return f.name.replace("_", "-")


def _option_type(f):
    name = f.type if isinstance(f.type, str) else getattr(f.type, "__name__", str(f.type))
    for kind in (bool, int, float):
        if kind.__name__ in str(name):
            return {bool: bool, int: _whole_number, float: _finite}[kind]
    return str


def _whole_number(text: str) -> int:
    """2000 or 2e6."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value != int(value):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number")
    return int(value)


def _finite(text: str) -> float:
    """A number that is neither infinite nor NaN."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value


def main(doc: str, parameters_class, run, default_cards: list[str], script: str,
         check=None) -> None:
    """Run a script: parse, validate, run or resume each card, draw, and exit with its code.

    Parameters
    ----------
    doc : str
        The script's docstring: what it measures and which figure it reproduces.
    parameters_class : dataclass
        Its options, made with :func:`parameter`.
    run : callable
        ``run(job)`` composes library calls and ends with ``job.finish(groups)``; with ``check``,
        ``run(job, cards)``.
    default_cards : list of str
        Cards where none is named.
    script : str
        ``__file__``.
    check : callable, optional
        ``check(cards, parameters, quick)`` refuses cards before any work; with it, one run goes
        over all cards, in a folder (several files), instead of a file for each card.
    """
    path = Path(script).resolve()
    arguments = _parser(doc, parameters_class, path, default_cards, check is not None).parse_args()
    from phasegrok.cards import InputError
    from phasegrok.runfile import RunFileError, WriteError

    try:
        _catch_signals()
        _run_all(arguments, parameters_class, run, default_cards, path, check)
    except InputError as error:
        for message in error.messages:
            print(f"error: {message}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except RunFileError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_FAILED if isinstance(error, WriteError) else EXIT_BAD_INPUT)
    except Interrupted as stop:
        print(f"interrupted; continue with: phasegrok resume {shlex.quote(str(stop.path))}",
              file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except KeyboardInterrupt:
        print("stopped at once; the last checkpoint is whole", file=sys.stderr)
        sys.exit(EXIT_FAILED)


def _run_all(arguments, parameters_class, run, default_cards, path, check) -> None:
    from phasegrok.cards import InputError

    if arguments.checkpoint <= 0.0:
        raise InputError("--checkpoint: give a positive number of seconds")
    if arguments.seed is not None and not 0 <= arguments.seed < _LARGEST:
        raise InputError("--seed: give a number >= 0 and below 2^63")
    resumed = _read_resumed(arguments) if arguments.resume else None
    parameters = _parameters(arguments, parameters_class, resumed)
    loaded = _cards(arguments, default_cards, resumed, path.stem)
    seed = 1 if arguments.seed is None else arguments.seed
    seed = int(resumed.attributes["seed"]) if resumed else seed
    script = Script(
        path.stem, arguments.summary, path,
        hashlib.sha256(path.read_bytes()).hexdigest(),
        resumed.attributes["command_line"] if resumed else _command_line(path),
        arguments.force, arguments.checkpoint, arguments.quick, resumed is not None,
    )
    if check is not None:
        check(loaded, parameters,
              bool(resumed.attributes.get("quick")) if resumed else arguments.quick)
        _run_folder(arguments, script, parameters, seed, loaded, run, resumed)
        return
    if arguments.out and len(loaded) > 1 and arguments.out.suffix == ".h5":
        raise InputError("--out: with several cards, give a folder")
    for card in loaded:
        out = arguments.resume or arguments.out
        if out and len(loaded) > 1:
            out = out / f"{card.name}.h5"
        _run_one(Job(script, card, parameters, seed, out), arguments, run)


def _command_line(path: Path) -> str:
    return shlex.join(["python", f"experiments/{path.name}", *sys.argv[1:]])


def _read_resumed(arguments):
    from phasegrok import runfile
    from phasegrok.cards import InputError

    resumed = runfile.read(arguments.resume)
    if (arguments.set or arguments.cards or arguments.out or arguments.quick
            or arguments.seed is not None):
        raise InputError("resume: the card and its settings are those of the run file; give no "
                         "CARD, --set, --seed, --quick or --out")
    return resumed


def _parameters(arguments, parameters_class, resumed):
    from phasegrok.cards import InputError

    stored = json.loads(resumed.attributes["parameters"]) if resumed else {}
    values = {}
    for f in dataclasses.fields(parameters_class):
        given = getattr(arguments, f.name)
        if given is not None and resumed is not None and not f.metadata["extends"]:
            raise InputError(f"resume: --{_option(f)} is the run file's and cannot be changed")
        if given is not None:
            values[f.name] = given
        elif resumed is not None:
            values[f.name] = stored.get(f.name)
        elif arguments.quick and f.metadata["quick"] is not None:
            values[f.name] = f.metadata["quick"]
        else:
            values[f.name] = f.default
        if isinstance(values[f.name], int) and not isinstance(values[f.name], bool) and (
                not 1 <= values[f.name] < _LARGEST):
            raise InputError(f"--{_option(f)}: give a number >= 1 and below 2^63")
    return parameters_class(**values)


def _cards(arguments, default_cards, resumed, section) -> list:
    from phasegrok import cards

    if resumed is not None:
        return [_stored_card(text, folder, resumed, group) for text, folder, group in zip(
            *_stored(resumed))]
    overrides = cards.parse_assignments(arguments.set)
    messages: list[str] = []
    loaded = []
    for reference in arguments.cards or default_cards:
        try:
            loaded.append(cards.load(reference, overrides, arguments.quick, section=section))
        except cards.InputError as error:
            messages += error.messages
    names = [card.name for card in loaded]
    twice = sorted({name for name in names if names.count(name) > 1})
    messages += [f"{name}: two cards have this name, and run files are named by it"
                 for name in twice]
    if messages:
        raise cards.InputError(*messages)
    return loaded


def _stored(resumed):
    """Texts, folders and names of the groups with the disorder of the cards of a run file."""
    if "card" in resumed.attributes:
        return [resumed.attributes["card"]], [resumed.attributes["card_folder"]], ["system"]
    texts = json.loads(resumed.attributes["cards"])
    folders = json.loads(resumed.attributes["card_folders"])
    names = json.loads(resumed.attributes["card_names"])
    return texts, folders, [f"system/{name}" for name in names]


def _stored_card(text, folder, resumed, group_name):
    from phasegrok import cards

    arrays = None
    if group_name in resumed:
        variables = resumed[group_name].variables
        arrays = {name: v.data for name, v in variables.items() if v.dims != (name,)}
    return cards.from_text(text, Path(folder), arrays=arrays)


def _run_one(job: Job, arguments, run) -> None:
    job.open(arguments.force, resume=arguments.resume is not None)
    try:
        if not job.done:
            run(job)
        else:
            print(f"{job.path} holds this run already, finished", file=sys.stderr)
        _show(job)
    finally:
        job.close()


def _run_folder(arguments, script, parameters, seed, loaded, run, resumed) -> None:
    names = [card.name for card in loaded]
    extra = {
        "cards": json.dumps([card.text for card in loaded]),
        "card_names": json.dumps(names),
        "card_folders": json.dumps([str(card.folder.resolve()) for card in loaded]),
        "quick": bool(resumed.attributes.get("quick")) if resumed else script.quick,
    }
    script.quick = extra["quick"]
    codes = " ".join(card.code_sha256 for card in loaded if card.code_path is not None)
    job = Job(script, None, parameters, seed, arguments.resume, extra=extra, code_sha256=codes)
    if arguments.resume is None:
        job.path = (arguments.out or job.path) / "verdict.h5"
    job.open(arguments.force, resume=arguments.resume is not None)
    job._system_groups = {f"system/{card.name}": _arrays_group(card.arrays)
                          for card in loaded if card.arrays}
    try:
        if not job.done:
            run(job, loaded)
        else:
            print(f"{job.path} holds this run already, finished", file=sys.stderr)
        _show(job)
    except Interrupted:
        job.interrupted()
        raise
    finally:
        job.close()


def _show(job: Job) -> None:
    from phasegrok import figures

    data = job.read()
    print(figures.summary(data, job.path))
    for figure in figures.save(data, job.path):
        print(f"figure   {figure}")
    print(f"run file {job.path}")
