"""Tables of numbers that cards name, and cards as TOML."""

import datetime
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from phasegrok.cards.values import shortened
from phasegrok.text import read_text


def read_rows(path: Path) -> np.ndarray:
    """Numbers of a CSV (a header line is allowed) or of the first array of an NPZ file.

    Raises
    ------
    ValueError
        If the file is missing or is not a table of numbers.
    """
    if not path.is_file():
        raise ValueError(f"there is no data file {path}")
    try:
        rows = _npz_rows(path) if path.suffix == ".npz" else _csv_rows(path)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        whole = path.suffix != ".npz" or zipfile.is_zipfile(path)
        reason = error if whole else "it is no .npz file, which numpy.savez writes"
        raise ValueError(f"the data file {path} is not a table of numbers: {reason}") from error
    if rows.size == 0:
        raise ValueError(f"the data file {path} has no rows")
    return rows


def _npz_rows(path: Path) -> np.ndarray:
    with np.load(path, allow_pickle=False) as arrays:
        if not arrays.files:
            raise ValueError("it holds no array")
        return np.asarray(arrays[arrays.files[0]], dtype=float)


_SEPARATORS = (";", ",", "\t", None)  # None: blanks
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eEdD][+-]?[0-9]+)?|nan|[+-]?inf", re.I)


def _csv_rows(path: Path) -> np.ndarray:
    """Rows of a text file; a first row that is shorter, of counts, is filled up with NaN."""
    lines = [line.partition("#")[0].strip() for line in read_text(path).splitlines()]
    numbered = [(k, line) for k, line in enumerate(lines, 1) if line and line[0] != "%"]
    if numbered and not any(_numbers(cell.split()) for separator in _SEPARATORS
                            for cell in numbered[0][1].split(separator)):
        numbered = numbered[1:]  # a header; a first row with one bad number is an error instead
    if not numbered:
        return np.empty((0, 0))
    try:
        return np.loadtxt([line for _, line in numbered], delimiter=",", ndmin=2, comments=None)
    except ValueError:
        return _rows_of(numbered)


def _rows_of(numbered: list[tuple[int, str]]) -> np.ndarray:
    """Numbers of the first separator, and sign of decimals, with which every row has them."""
    wrong = ""
    for separator in _SEPARATORS:
        if separator and not any(separator in line for _, line in numbered):
            continue
        rows = []
        for k, line in numbered:
            row = _numbers(line.split(separator), decimal_comma=separator != ",")
            if not row:
                wrong = wrong or f'line {k} is "{shortened(line)}"'
                break
            rows.append(row)
        else:
            width = len(rows[-1])
            if len(rows) > 1 and len(rows[0]) < width:
                rows[0] += [np.nan] * (width - len(rows[0]))
            if all(len(row) == width for row in rows):
                return np.array(rows)
            k = next(k for k, row in enumerate(rows) if len(row) != width)
            wrong = wrong or (f"line {numbered[k][0]} has {len(rows[k])} numbers, and the last row "
                              f"has {width}")
    raise ValueError(f"{wrong}; give rows of numbers, as 0, 1, 0.5, separated by commas, "
                     "semicolons or blanks")


def _numbers(cells: list[str], decimal_comma: bool = False) -> list[float]:
    """The numbers in ``cells``, empty if one is none; empty cells at the end do not count."""
    cells = [cell.strip() for cell in cells]
    while cells and not cells[-1]:
        cells.pop()
    if decimal_comma:
        cells = [cell.replace(",", ".") for cell in cells]
    if not all(map(_NUMBER.fullmatch, cells)):
        return []
    return [float(cell.lower().replace("d", "e")) for cell in cells]


_SHORT_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _escaped(character: str) -> str:
    if character in _SHORT_ESCAPES:
        return _SHORT_ESCAPES[character]
    return f"\\u{ord(character):04x}" if character < " " or character == "\x7f" else character


def toml_value(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{"".join(map(_escaped, value))}"'
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, dict):
        pairs = [f"{_toml_key(k)} = {toml_value(v)}" for k, v in value.items()]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, datetime.date | datetime.time):  # a datetime is a date
        return value.isoformat()
    return repr(value)  # int, and float with inf and nan, are written alike


def _toml_key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else (
        toml_value(key))


def to_toml(raw: dict[str, Any]) -> str:
    """The effective card as TOML: plain keys first, then one table a section."""
    lines = [f"{_toml_key(k)} = {toml_value(v)}" for k, v in raw.items()
             if not isinstance(v, dict)]
    for section, table in raw.items():
        if isinstance(table, dict):
            lines += ["", f"[{_toml_key(section)}]"]
            lines += [f"{_toml_key(k)} = {toml_value(v)}" for k, v in table.items()]
    return "\n".join(lines) + "\n"
