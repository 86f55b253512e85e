"""The command ``phasegrok``: list cards, run scripts, resume, inspect and plot run files."""

import argparse
import hashlib
import os
import runpy
import shlex
import sys
import time
from pathlib import Path

from phasegrok import environment, trust
from phasegrok.errors import InputError
from phasegrok.run.stopping import EXIT_BAD_INPUT, EXIT_INTERRUPTED
from phasegrok.text import as_typed, printable

_HELP = """\
phasegrok: is a learning network's sudden understanding a phase transition?

  phasegrok models                     list the model cards
  phasegrok run NAME [CARD ...] ...    run the script experiments/NAME.py; `run NAME --help`
  phasegrok resume FILE                continue an interrupted run, or extend it (--sweeps N)
  phasegrok evaluate CARD --weights F  losses, accuracies and norms of given weights of a network
  phasegrok theory NAME                numbers of a theory: critical values, spinodals, barriers
  phasegrok status FOLDER              how far the runs there are; --watch repeats
  phasegrok inspect FILE               say what a run file holds
  phasegrok plot FILE                  draw its figure again
"""
_RESUME_HELP = """\
usage: phasegrok resume FILE [--sweeps N | --steps N] [--checkpoint SECONDS] [--wall HH:MM:SS]
                        [--force] [--trust] [--engine ENGINE] [--workers N] [--point I/N]

Continues an interrupted run to the result that an uninterrupted one gives; a larger total of sweeps
or steps extends a finished one.  A scan is continued by its scan.h5 or any of its points, with
--engine, --workers and --point as it was begun.  The script that runs is the package's own; another
one that the file names, or code of its card, runs with --trust.
"""


def main() -> None:
    """Entry point of the command."""
    environment.prepare()
    try:
        _dispatch(sys.argv[1:])
    except BrokenPipeError:  # the reader of a pipe has gone, as in `phasegrok models | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _dispatch(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="phasegrok", usage=_HELP, add_help=False)
    parser.add_argument("command", nargs="?")
    parser.add_argument("-h", "--help", action="store_true")
    parser.add_argument("--version", action="store_true")
    known, rest = parser.parse_known_args(arguments[:1])
    rest += arguments[1:]
    if known.version:
        from phasegrok import __version__

        print(f"phasegrok {__version__}")
        return
    if known.help or known.command is None:
        print(_HELP, end="")
        sys.exit(0 if known.help else 2)
    commands = {"models": _models, "run": _run, "resume": _resume, "status": _status,
                "theory": _theory, "evaluate": _evaluate,
                "inspect": _inspect, "plot": _plot}
    from phasegrok.run.runfile import RunFileError

    try:
        if known.command not in commands:
            raise _there_is_no("command", known.command, commands)
        commands[known.command](rest)
    except InputError as error:
        for message in error.messages:
            print(f"error: {printable(message)}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except RunFileError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)


def _there_is_no(what: str, name: str, known) -> Exception:
    """The error that says what there is, and what is near to the name."""
    from phasegrok.cards.values import did_you_mean

    near = did_you_mean(name, known)
    return InputError(f"there is no {what} {name}{near or ';'} there are {', '.join(known)}")


def _models(arguments: list[str]) -> None:
    """List the cards; never executes the code that a card names."""
    argparse.ArgumentParser(prog="phasegrok models",
                            description="List the model cards.").parse_args(arguments)
    from phasegrok import cards
    from phasegrok.text import table

    rows = []
    for name, path in cards.available().items():
        try:
            card = cards.load(str(path), execute_code=False)
        except InputError as error:
            rows.append([name, "", "", f"invalid: {error.messages[0]}"])
            continue
        given = ", ".join(f"{k} = {v}" for k, v in card.model.parameters.items())
        rows.append([name, card.family, given, card.model.title])
    print(printable(table(["card", "family", "parameters", "title"], rows)))


def script_folders() -> list[Path]:
    """Where scripts are looked up: ./experiments, the repository, the installed share."""
    return [Path("experiments"), *trust.shipped_folders("experiments")]


def _find_script(name: str, folders: list[Path]) -> Path:
    known: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.py")):
            known.setdefault(path.stem, path)
    if name.removesuffix(".py") not in known:
        raise _there_is_no("experiment", name, known)
    return known[name.removesuffix(".py")]


def _execute(script: Path, arguments: list[str]) -> None:
    print(f"script {printable(str(script))}", file=sys.stderr)
    sys.argv = [str(script), *arguments]
    runpy.run_path(str(script), run_name="__main__")


def _run(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: phasegrok run NAME [CARD ...] [options]\n\nexperiments:")
        for folder in script_folders():
            if folder.is_dir():
                print("  " + "\n  ".join(sorted(path.stem for path in folder.glob("*.py"))))
                break
        return
    _execute(_find_script(arguments[0], script_folders()), arguments[1:])


def _resume(arguments: list[str]) -> None:
    """Continue a run file; a part of a comparison continues the comparison."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_RESUME_HELP, end="")
        return
    from phasegrok.run import runfile

    if arguments[0].startswith("-"):
        raise InputError(f"resume: give the FILE before {arguments[0]}")
    path, found = runfile.whole_of(Path(arguments[0]))
    if "script" not in found.attributes:
        raise InputError(f"{path} was written by no script of experiments/: nothing to resume")
    script = _script_of(path, found, "--trust" in arguments)
    _execute(script, ["--resume", str(path), *arguments[1:]])


def _script_of(path: Path, found, trusted: bool) -> Path:
    """The script that continues a run: one that ships, or with ``--trust`` the one it names.

    Raises
    ------
    InputError
        If there is none, or it is another that nobody named on the command line.
    """
    from phasegrok.run.stored import stored

    named = Path(stored(path, found, "script", str))
    name = stored(path, found, "experiment", str)
    shipped = {file.stem: file for folder in reversed(trust.shipped_folders("experiments"))
               for file in folder.glob("*.py")}
    if trust.ships(named, "experiments") or (trusted and _is_file(named)):
        return named
    same = name in shipped and (hashlib.sha256(shipped[name].read_bytes()).hexdigest()
                                == found.attributes.get("script_sha256"))
    if same or (name in shipped and not _is_file(named)):
        return shipped[name]
    if not _is_file(named):
        raise InputError(f"{path} was made by {named}, which is not there: "
                         f"python SCRIPT.py --resume {path}, where it is now")
    raise InputError(f"{path} names a script that is not of this package, {named}: read it, and "
                     f"run python {shlex.quote(str(named))} --resume {shlex.quote(str(path))}, or "
                     "give --trust")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _status(arguments: list[str]) -> None:
    """How far runs are, from their files alone."""
    parser = argparse.ArgumentParser(
        prog="phasegrok status", description="How far the runs in a folder are, or the points of "
        "its scan: read from the files alone, while runs write.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder, or one run file")
    parser.add_argument("--watch", type=float, nargs="?", const=5.0, metavar="SECONDS",
                        help="show it again every so often (5 s), until all is done or Ctrl-C")
    given = parser.parse_args(arguments)
    from phasegrok.run import status

    while True:
        rows = status.rows_of(given.folder)
        clear = "\033[H\033[2J" if given.watch and sys.stdout.isatty() else ""
        print(clear + printable(status.table_of(rows)), flush=True)
        if not given.watch or all(row.status == "done" for row in rows):
            return
        try:
            time.sleep(max(0.2, given.watch))
        except KeyboardInterrupt:
            return


def _theory(arguments: list[str]) -> None:
    """Numbers of a theory, as a table or JSON."""
    parser = argparse.ArgumentParser(
        prog="phasegrok theory", description="Print the numbers of a theory, without a run.")
    parser.add_argument("name", nargs="?", metavar="NAME", help="which; none: list them")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="values")
    parser.add_argument("--json", action="store_true", help="as JSON")
    given = parser.parse_args(arguments)
    import json

    from phasegrok.cards.overrides import parse_assignments
    from phasegrok.text import table
    from phasegrok.theory import numbers

    if given.name is None:
        print(table(["theory", "settings (--set)"], [
            [name, ", ".join(f"{k}={v}" for k, v in numbers.settings(name).items())]
            for name in numbers.NAMES]))
        return
    if given.name not in numbers.NAMES:
        raise _there_is_no("theory", given.name, numbers.NAMES)
    try:
        rows = numbers.numbers(given.name, **parse_assignments(given.values))
    except (ValueError, ArithmeticError) as error:
        raise InputError(f"theory {given.name}: {error}") from error
    if given.json:
        finite = {key: None if value != value else value for key, value, _ in rows}
        print(json.dumps(finite, indent=1))
        return
    print(table(["quantity", "value", "unit"], [
        [key, value if isinstance(value, str) else "-" if value != value else f"{value:.8g}", unit]
        for key, value, unit in rows]))


def _evaluate(arguments: list[str]) -> None:
    """Losses, accuracies and norms of given weights, as a table and as a run file."""
    parser = argparse.ArgumentParser(
        prog="phasegrok evaluate", description="Losses, accuracies and norms of given weights of "
        "the network of a card.")
    parser.add_argument("card", metavar="CARD", help="a model card, by name or path")
    parser.add_argument("--weights", nargs="+", required=True, metavar="FILE",
                        help="run.h5 or run.h5:replica=2,step=1000, or a .npz, .safetensors or .pt "
                        "file of named matrices")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="values",
                        help="override a value of the card; may be repeated")
    parser.add_argument("--out", type=Path, metavar="PATH", help="write a run file too")
    parser.add_argument("--force", action="store_true", help="replace what is at --out")
    parser.add_argument("--trust", action="store_true",
                        help="execute code that the command line does not name: of a run file in "
                        "--weights, or outside the card's folder")
    given = parser.parse_args(arguments)
    from phasegrok import cards, figures
    from phasegrok.run import provenance, runfile
    from phasegrok.run.job import arrays_group
    from phasegrok.studies.evaluation import evaluation

    if given.out and given.out.exists() and not given.force:
        raise InputError(f"{given.out} is there already: give another --out, or --force to "
                         "replace it")
    card = cards.load(given.card, cards.parse_assignments(given.values), section="training",
                      script="training", trust=given.trust)
    run = runfile.RunFile({
        "title": card.model.title, "experiment": "evaluate", "status": "done",
        "command_line": shlex.join(["phasegrok", "evaluate", *map(as_typed, arguments)]),
        "units": card.model.units, "references": card.model.reference, **provenance.of_card(card),
        **provenance.provenance(), **provenance.this_process(),
    }, {"evaluation": evaluation(card, [as_typed(text) for text in given.weights]),
        **({"system": arrays_group(card.arrays)} if card.arrays else {})})
    print(printable(figures.summary(run)))
    if given.out:
        runfile.write(given.out, run)
        print(f"run file {printable(str(given.out))}")


def _file_argument(arguments: list[str], command: str, description: str) -> Path:
    parser = argparse.ArgumentParser(prog=f"phasegrok {command}", description=description)
    parser.add_argument("file", type=Path, metavar="FILE", help="a run file")
    return parser.parse_args(arguments).file


def _inspect(arguments: list[str]) -> None:
    path = _file_argument(arguments, "inspect", "Say what a run file holds.")
    from phasegrok import figures
    from phasegrok.run import runfile

    print(printable(figures.describe(runfile.read(path), path)))


def _plot(arguments: list[str]) -> None:
    path = _file_argument(arguments, "plot", "Draw the figure of a run file.")
    from phasegrok import figures
    from phasegrok.run import runfile

    for line in figures.files_drawn(runfile.read(path), path):
        print(printable(line.removeprefix("figure").strip()))
