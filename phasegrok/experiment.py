"""What every script in experiments/ shares: its parameters, its command line, its end.

A script is a docstring, a dataclass of parameters, ``run(job)`` and a call of :func:`main`.  The
work is that of a :class:`phasegrok.run.job.Job`; a script with many points hands them to
:func:`phasegrok.run.scan.map_points`.
"""

import contextlib
import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from phasegrok import environment, trust
from phasegrok.errors import InputError
from phasegrok.run import options, stopping
from phasegrok.run.job import Job, arrays_group
from phasegrok.run.script import Script, option
from phasegrok.run.stopping import (
    EXIT_BAD_INPUT,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    Interrupted,
    Unfinished,
)
from phasegrok.text import as_typed, printable

__all__ = ["Job", "main", "parameter"]
_LARGEST = 2**63  # whole numbers are stored in 64 bits


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


def main(doc: str, parameters_class, run, default_cards: list[str], script: str,
         check=None, scan: bool = False) -> None:
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
    scan : bool
        ``run`` calls :func:`phasegrok.run.scan.map_points`: a folder for each card, with a file for
        each point and scan.h5, and the options that say where points run.
    """
    environment.prepare()
    path = Path(script).resolve()
    began = time.time()
    parser = options.parser(doc, parameters_class, path, default_cards,
                            folder=scan or check is not None, scan=scan)
    arguments = parser.parse_args()
    from phasegrok.run.runfile import RunFileError, WriteError

    try:
        stopping.catch_signals()
        arguments.began, arguments.deadline = began, began + arguments.wall
        _run_all(arguments, parameters_class, run, default_cards, path, check)
    except InputError as error:
        for message in error.messages:
            print(f"error: {printable(message)}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except RunFileError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        sys.exit(EXIT_FAILED if isinstance(error, WriteError) else EXIT_BAD_INPUT)
    except Interrupted as stop:
        how = "stopped at once; the last checkpoint is whole" if stop.at_once else "interrupted"
        print(f"{how}; continue with: {printable(_resume_command(stop.path, path))}",
              file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except Unfinished as end:
        for message in end.messages:
            print(f"error: {printable(message)}", file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except KeyboardInterrupt:  # a second signal where there is no checkpoint
        print("stopped at once, before a checkpoint; the same command begins again",
              file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except SystemExit as end:  # of the script's run or the card's code: no result, whatever it says
        print(f"error: the code of the script or of a card ended the process (SystemExit: "
              f"{end.code}) before the run was done", file=sys.stderr)
        sys.exit(EXIT_FAILED)


def _run_all(arguments, parameters_class, run, default_cards, path, check) -> None:
    if arguments.checkpoint <= 0.0:
        raise InputError("--checkpoint: give a positive number of seconds")
    if arguments.scan:
        options.check_scan(arguments)
    if arguments.seed is not None and not 0 <= arguments.seed < _LARGEST:
        raise InputError("--seed: give a number >= 0 and below 2^63")
    resumed = _read_resumed(arguments) if arguments.resume else None
    parameters = _parameters(arguments, parameters_class, resumed)
    loaded = _cards(arguments, default_cards, resumed, path.stem)
    for card in loaded:
        for file in card.code_files:
            print(f"code of {card.name}: {printable(str(file))}", file=sys.stderr)
    seed = 1 if arguments.seed is None else arguments.seed
    command_line = _command_line(path)
    if resumed is not None:
        from phasegrok.run.stored import stored

        seed = int(stored(arguments.resume, resumed, "seed", int))
        command_line = stored(arguments.resume, resumed, "command_line", str)
    script = Script(
        path.stem, arguments.summary, path, path.read_bytes().decode(),
        command_line,
        arguments.force, arguments.checkpoint, arguments.quick, resumed is not None,
        arguments.deadline, arguments.began,
        **({"engine": arguments.engine, "workers": arguments.workers, "share": arguments.point}
           if arguments.scan else {}),
    )
    if check is not None:
        check(loaded, parameters,
              bool(resumed.attributes.get("quick")) if resumed else arguments.quick)
        _run_folder(arguments, script, parameters, seed, loaded, run, resumed)
        return
    if arguments.out and len(loaded) > 1 and arguments.out.suffix == ".h5":
        raise InputError("--out: with several cards, give a folder")
    unfinished = []
    for card in loaded:
        job = Job(script, card, parameters, seed, arguments.resume or arguments.out)
        if arguments.resume is None:
            job.path = _path(job, arguments, len(loaded) > 1)
        try:
            _run_one(job, arguments, run)
        except Unfinished as end:  # the other cards' scans go on
            unfinished.append(end)
    if unfinished:
        raise Unfinished([text for end in unfinished for text in end.messages])


def _path(job: Job, arguments, several: bool) -> Path:
    """The run file of one card, or of its scan."""
    if not arguments.scan:
        return job.path / f"{job.card.name}.h5" if arguments.out and several else job.path
    folder = job.path / job.card.name if arguments.out and several else job.path
    return (folder if arguments.out else folder.with_suffix("")) / "scan.h5"


def _command_line(path: Path) -> str:
    return shlex.join(["python", f"experiments/{path.name}", *map(as_typed, sys.argv[1:])])


def _resume_command(file: Path, script: Path) -> str:
    """The words that continue a run: they name the script, and say so, if it is the user's own."""
    from phasegrok.run import runfile

    command = "phasegrok resume" if trust.ships(script, "experiments") else (
        f"python {shlex.quote(sys.argv[0])} --resume")
    code = runfile.read_attributes(file).get("code_sha256") if file.exists() else None
    return f"{command} {shlex.quote(str(file))}{' --trust' if code else ''}"


def _read_resumed(arguments):
    from phasegrok.run import runfile

    arguments.resume, resumed = runfile.whole_of(arguments.resume)
    if (arguments.set or arguments.cards or arguments.out or arguments.quick
            or arguments.seed is not None):
        raise InputError("resume: the card and its settings are those of the run file; give no "
                         "CARD, --set, --seed, --quick or --out")
    return resumed


def _parameters(arguments, parameters_class, resumed):
    earlier = {}
    if resumed is not None:
        from phasegrok.run.stored import not_as_written, stored

        earlier = stored(arguments.resume, resumed, "parameters", dict)
    values = {}
    for f in dataclasses.fields(parameters_class):
        given = getattr(arguments, f.name)
        if given is not None and resumed is not None and not f.metadata["extends"]:
            raise InputError(f"resume: --{option(f)} is the run file's and cannot be changed")
        if given is not None:
            values[f.name] = given
        elif resumed is not None:
            values[f.name] = earlier.get(f.name)
            if not options.fits(f, values[f.name]):
                raise not_as_written(arguments.resume, "parameters")
        elif arguments.quick and f.metadata["quick"] is not None:
            values[f.name] = f.metadata["quick"]
        else:
            values[f.name] = f.default
        if isinstance(values[f.name], int) and not isinstance(values[f.name], bool) and (
                not 1 <= values[f.name] < _LARGEST):
            raise InputError(f"--{option(f)}: give a number >= 1 and below 2^63")
    return parameters_class(**values)


def _cards(arguments, default_cards, resumed, section) -> list:
    from phasegrok import cards

    if resumed is not None:
        from phasegrok.run.stored import stored_cards

        return [_stored_card(found, arguments)
                for found in stored_cards(arguments.resume, resumed)]
    overrides = cards.parse_assignments(arguments.set)
    messages: list[str] = []
    loaded = []
    for reference in arguments.cards or default_cards:
        try:
            if not arguments.cards:
                _refuse_code(cards.load(reference, overrides, execute_code=False, section=section,
                                        script=section),
                             arguments.trust, f"name it as CARD, {reference}, to execute it")
            loaded.append(cards.load(reference, overrides, arguments.quick, section=section,
                                     script=section, trust=arguments.trust))
        except InputError as error:
            messages += error.messages
    names = [card.name for card in loaded]
    twice = sorted({name for name in names if names.count(name) > 1})
    messages += [f"{name}: two cards have this name, and run files are named by it"
                 for name in twice]
    if messages:
        raise InputError(*messages)
    return loaded


def _refuse_code(card, trusted: bool, advice: str) -> None:
    """Refuse a card, read without executing it, whose code nobody named on the command line."""

    if card.code_files and not trusted:
        files = ", ".join(map(str, card.code_files))
        raise InputError(f"{card.name} has code of its own, {files}: read it, and give "
                         f"--trust to execute it, or {advice}")


def _stored_card(found, arguments):
    from phasegrok import cards

    _refuse_code(cards.from_text(found["text"], found["folder"], execute_code=False, arrays={}),
                 arguments.trust, "repeat the command that began the run")
    return cards.from_text(**found, trust=arguments.trust)


def _run_one(job: Job, arguments, run) -> None:
    job.open(arguments.force, resume=arguments.resume is not None,
             lock=job.script.share is None)
    with _ending(job, has_parts=arguments.scan):
        if not job.done:
            run(job)


def _run_folder(arguments, script, parameters, seed, loaded, run, resumed) -> None:
    names = [card.name for card in loaded]
    extra = {
        "cards": json.dumps([card.text for card in loaded]),
        "card_names": json.dumps(names),
        "card_folders": json.dumps([as_typed(str(card.folder.resolve())) for card in loaded]),
        "quick": bool(resumed.attributes.get("quick")) if resumed else script.quick,
    }
    script.quick = extra["quick"]
    codes = " ".join(card.code_sha256 for card in loaded if card.code_files)
    job = Job(script, None, parameters, seed, arguments.resume, extra=extra, code_sha256=codes)
    if arguments.resume is None:
        job.path = (arguments.out or job.path) / "verdict.h5"
    job.open(arguments.force, resume=arguments.resume is not None)
    job.add_systems({f"system/{card.name}": arrays_group(card.arrays)
                     for card in loaded if card.arrays})
    with _ending(job, has_parts=True):
        if not job.done:
            run(job, loaded)


@contextlib.contextmanager
def _ending(job: Job, has_parts: bool) -> Iterator[None]:
    """How a run ends: shown, or with its state said in the file of the whole; its name is free."""
    try:
        if job.done:
            print(f"{job.path} holds this run already, finished", file=sys.stderr)
        yield
        if not job.done:
            raise Unfinished([f"{job.path}: its script did not finish the run, with "
                              "job.finish(groups)"])
        _show(job)
    except Interrupted:
        if has_parts:
            job.interrupted()
        raise
    except Unfinished as end:
        if has_parts:
            job.write("failed", {}, error="\n".join(end.messages))
        raise
    except KeyboardInterrupt:
        if job.path.exists():
            raise Interrupted(job.path, at_once=True) from None
        raise
    finally:
        job.close()


def _show(job: Job) -> None:
    """Table and figure of a finished run, which neither of them can undo."""
    from phasegrok import figures
    from phasegrok.run.runfile import RunFileError

    data = job.read()
    try:
        print(figures.summary(data))
    except Exception as error:  # numbers that nobody thought of
        print(f"warning: {job.path} is whole, but its table cannot be printed: "
              f"{type(error).__name__}: {error}", file=sys.stderr)
    try:
        for line in figures.files_drawn(data, job.path):
            print(line)
    except RunFileError as error:
        print(f"warning: {error}", file=sys.stderr)
    print(f"run file {job.path}")
