"""The options of a script, read without importing anything heavy."""

import argparse
import dataclasses
import math
import re
from pathlib import Path

from phasegrok.run.script import check_engine, option


def parser(doc: str, parameters_class, path: Path, default_cards, folder: bool, scan: bool):
    """The parser of a script: what all scripts have, and its own parameters."""
    summary = doc.strip().split("\n\n")[0].replace("\n", " ")
    made = argparse.ArgumentParser(
        prog=f"python experiments/{path.name}", description=doc.strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter)
    made.set_defaults(summary=summary, scan=scan)
    made.add_argument("cards", nargs="*", metavar="CARD",
                      help=f"model cards, by name or path (default: {' '.join(default_cards)})")
    made.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                      help="override a value of the card, e.g. --set L=16; may be repeated")
    made.add_argument("--seed", type=whole_number, metavar="N",
                      help="seed of all random numbers (1)")
    made.add_argument("--out", type=Path, metavar="PATH",
                      help="folder of the run files" if folder else
                      "run file (with several cards: a folder)")
    made.add_argument("--checkpoint", type=finite, default=60.0, metavar="SECONDS",
                      help="time between checkpoints (60 s)")
    made.add_argument("--wall", type=wall_seconds, default=math.inf, metavar="HH:MM:SS",
                      help="stop with a checkpoint before this time is over, for batch systems")
    if scan:
        _add_scan_options(made)
    made.add_argument("--quick", action="store_true", help="a smaller run, to have a look")
    made.add_argument("--force", action="store_true",
                      help="replace what is at --out; resume though sources have changed")
    made.add_argument("--trust", action="store_true",
                      help="execute code of a card that the command line does not name: of a run "
                      "file, or outside the card's folder")
    made.add_argument("--resume", type=Path, metavar="FILE",
                      help="continue a run file of this script, as `phasegrok resume FILE` does "
                      "for the package's own scripts")
    for f in dataclasses.fields(parameters_class):
        name = "--" + option(f)
        help = f.metadata["help"].replace("%", "%%")
        kind = _option_type(f)
        if kind is bool:
            made.add_argument(name, action="store_true", default=None, help=help)
        else:
            shown = "" if f.default is None else f" ({f.default})"
            made.add_argument(name, type=kind, default=None, help=help + shown,
                              choices=f.metadata["choices"], metavar=f.name.upper())
    return made


def _option_type(f):
    name = f.type if isinstance(f.type, str) else getattr(f.type, "__name__", str(f.type))
    for kind in (bool, int, float):
        if kind.__name__ in str(name):
            return {bool: bool, int: whole_number, float: finite}[kind]
    return str


def fits(f, value) -> bool:
    """Whether a value that a run file holds for a parameter is one that its option gives."""
    kind = {bool: bool, whole_number: int, finite: int | float, str: str}[_option_type(f)]
    return value is None or (isinstance(value, kind) and isinstance(value, bool) == (kind is bool))


def whole_number(text: str) -> int:
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


def finite(text: str) -> float:
    """A number that is neither infinite nor NaN."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value


def _add_scan_options(made) -> None:
    made.add_argument("--engine", default="serial", metavar="ENGINE",
                      help="where points run: serial (this process), local (worker processes), "
                      "slurm, or the address of a dask scheduler (serial)")
    made.add_argument("--workers", type=whole_number, default=0, metavar="N",
                      help="worker processes (local: one a core; slurm: one a point)")
    made.add_argument("--point", type=share, metavar="I/N",
                      help="task I of an array of N batch jobs: every N-th point, from the I-th, "
                      "then what the others have left")


def check_scan(arguments) -> None:
    """Refuse options of a scan that do not fit together.

    Raises
    ------
    InputError
        One sentence.
    """
    check_engine(arguments.engine, arguments.workers)


def wall_seconds(text: str) -> float:
    """Seconds of HH:MM:SS or D-HH:MM:SS, as batch systems write times."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):([0-5]\d):([0-5]\d)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text} is not a time as HH:MM:SS or D-HH:MM:SS")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return 86400.0 * days + 3600.0 * hours + 60.0 * minutes + seconds


def share(text: str) -> tuple[int, int]:
    """(i, n) of ``i/n``."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    i, n = map(int, match.groups()) if match else (0, 0)
    if not 1 <= i <= n:
        raise argparse.ArgumentTypeError(f"{text} is not I/N with 1 <= I <= N, as 3/8")
    return i, n
