"""The command ``phasegrok``: list cards, run scripts, resume, inspect and plot run files."""

import argparse
import os
import runpy
import sys
import time
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parent.parent
_HELP = """\
phasegrok: is a learning network's sudden understanding a phase transition?

  phasegrok models                     list the model cards
  phasegrok run NAME [CARD ...] ...    run the script experiments/NAME.py; `run NAME --help`
  phasegrok resume FILE                continue an interrupted run, or extend it (--sweeps N)
  phasegrok theory NAME                numbers of a theory: critical values, spinodals, barriers
  phasegrok status FOLDER              how far the runs there are; --watch repeats
  phasegrok inspect FILE               say what a run file holds
  phasegrok plot FILE                  draw its figure again
"""


def main() -> None:
    """Entry point of the command."""
    try:
        _dispatch(sys.argv[1:])
    except BrokenPipeError:  # the reader of a pipe has gone, as in `phasegrok models | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
                "theory": _theory,
                "inspect": _inspect, "plot": _plot}
    if known.command not in commands:
        print(f"error: there is no command {known.command}; there are {', '.join(commands)}",
              file=sys.stderr)
        sys.exit(2)
    from phasegrok.cards import InputError
    from phasegrok.runfile import RunFileError

    try:
        commands[known.command](rest)
    except InputError as error:
        for message in error.messages:
            print(f"error: {message}", file=sys.stderr)
        sys.exit(2)
    except RunFileError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _models(arguments: list[str]) -> None:
    """List the cards; never executes the code that a card names."""
    argparse.ArgumentParser(prog="phasegrok models",
                            description="List the model cards.").parse_args(arguments)
    from phasegrok import cards
    from phasegrok.figures.common import table

    rows = []
    for name, path in cards.available().items():
        try:
            card = cards.load(str(path), execute_code=False)
        except cards.InputError as error:
            rows.append([name, "", "", f"invalid: {error.messages[0]}"])
            continue
        given = ", ".join(f"{k} = {v}" for k, v in card.model.parameters.items())
        rows.append([name, card.family, given, card.model.title])
    print(table(["card", "family", "parameters", "title"], rows))


def script_folders() -> list[Path]:
    """Where scripts are looked up: ./experiments, the repository, the installed share."""
    return [Path("experiments"), _REPOSITORY / "experiments",
            Path(sys.prefix) / "share" / "phasegrok" / "experiments"]


def _find_script(name: str) -> Path:
    from phasegrok.cards import InputError

    known: dict[str, Path] = {}
    for folder in script_folders():
        for path in sorted(folder.glob("*.py")):
            known.setdefault(path.stem, path)
    if name.removesuffix(".py") not in known:
        raise InputError(f"there is no experiment {name}; there are {', '.join(known)}")
    return known[name.removesuffix(".py")]


def _execute(script: Path, arguments: list[str]) -> None:
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
    _execute(_find_script(arguments[0]), arguments[1:])


def _resume(arguments: list[str]) -> None:
    """Continue a run file; a part of a comparison continues the comparison."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: phasegrok resume FILE [--sweeps N | --steps N] [--checkpoint SECONDS] "
              "[--wall HH:MM:SS] [--force]\n\nContinues an interrupted run to the result that an "
              "uninterrupted one gives; a larger total\nof sweeps or steps extends a finished one."
              "  A scan is continued by its scan.h5 or any of its points:\n[--engine ENGINE] "
              "[--workers N] [--point I/N].")
        return
    from phasegrok import runfile
    from phasegrok.cards import InputError

    if arguments[0].startswith("-"):
        raise InputError(f"resume: give the FILE before {arguments[0]}")
    path, found = runfile.whole_of(Path(arguments[0]))
    if "script" not in found.attributes:
        raise InputError(f"{path} was written by no script of experiments/: nothing to resume")
    stored = Path(found.attributes["script"])
    script = stored if stored.is_file() else _find_script(found.attributes["experiment"])
    _execute(script, ["--resume", str(path), *arguments[1:]])


def _status(arguments: list[str]) -> None:
    """How far runs are, from their files alone."""
    parser = argparse.ArgumentParser(
        prog="phasegrok status", description="How far the runs in a folder are, or the points of "
        "its scan: read from the files alone, while runs write.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder, or one run file")
    parser.add_argument("--watch", type=float, nargs="?", const=5.0, metavar="SECONDS",
                        help="show it again every so often (5 s), until all is done or Ctrl-C")
    given = parser.parse_args(arguments)
    from phasegrok import status

    while True:
        rows = status.rows_of(given.folder)
        clear = "\033[H\033[2J" if given.watch and sys.stdout.isatty() else ""
        print(clear + status.table_of(rows), flush=True)
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

    from phasegrok.cards import InputError, parse_assignments
    from phasegrok.figures.common import table
    from phasegrok.theory import numbers

    if given.name is None:
        print(table(["theory", "settings (--set)"], [
            [name, ", ".join(f"{k}={v}" for k, v in numbers.settings(name).items())]
            for name in numbers.NAMES]))
        return
    if given.name not in numbers.NAMES:
        raise InputError(f"there is no theory {given.name}; there are {', '.join(numbers.NAMES)}")
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


def _file_argument(arguments: list[str], command: str, description: str) -> Path:
    parser = argparse.ArgumentParser(prog=f"phasegrok {command}", description=description)
    parser.add_argument("file", type=Path, metavar="FILE", help="a run file")
    return parser.parse_args(arguments).file


def _inspect(arguments: list[str]) -> None:
    path = _file_argument(arguments, "inspect", "Say what a run file holds.")
    from phasegrok import figures, runfile

    print(figures.describe(runfile.read(path), path))


def _plot(arguments: list[str]) -> None:
    path = _file_argument(arguments, "plot", "Draw the figure of a run file.")
    from phasegrok import figures, runfile

    for figure in figures.save(runfile.read(path), path):
        print(figure)
