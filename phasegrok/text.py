"""Text of files and of the terminal: how it is read, and how it is shown, whatever the locale.

Files are UTF-8 (TOML is by its definition), with or without a byte order mark, or UTF-16 with one.
The terminal gets what its encoding has; ± and letters that it lacks are written in ASCII instead.
"""

import codecs
import os
import re
import sys
import unicodedata
from pathlib import Path

_MARKS = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
          (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_HARMFUL = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # control, format, surrogate, separator
_ASCII = {"±": "+-", "×": "x", "·": "*", "−": "-", "–": "-", "—": "-", "≥": ">=", "≤": "<=",
          "→": "->", "ß": "ss", "µ": "u", "…": "...", "²": "^2", "³": "^3"}


def read_text(path: Path) -> str:
    """The text of a file; a byte order mark is not part of it.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If its bytes are neither UTF-8 nor marked UTF-16.
    """
    raw = Path(path).read_bytes()
    encoding = next((name for mark, name in _MARKS if raw.startswith(mark)), "utf-8-sig")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not {encoding.removesuffix('-sig').upper()} ({error.reason} at "
                         f"byte {error.start}): save it as UTF-8") from None
    if "\0" in text:
        raise ValueError("it holds zero bytes: save it as UTF-8")
    return text


def write_text(path: Path, text: str) -> None:
    """Write a file of UTF-8."""
    Path(path).write_text(text, encoding="utf-8")


def printable(text: str) -> str:
    r"""Text of a file or a card as a terminal may show it: every control character as its escape.

    Titles, names and messages may hold sequences that move the cursor, set the window's title, or
    reverse the order of writing; here they are seen instead (``\x1b``, ``\u202e``).  Line feeds and
    tabs stay.
    """
    return "".join(
        character if character in "\n\t" or unicodedata.category(character) not in _HARMFUL
        else character.encode("unicode_escape", "surrogatepass").decode() for character in text)


def as_typed(argument: str) -> str:
    """An argument or path with the letters of UTF-8 that the locale's encoding has not.

    Python keeps bytes that the locale cannot decode as lone surrogates, which nothing can store.
    """
    return argument.encode(errors="surrogateescape").decode(errors="replace")


def as_path(text: str) -> Path:
    """The path whose name :func:`as_typed` gave, in any locale."""
    path = Path(os.fsdecode(text.encode(errors="surrogateescape")))
    return path if path.exists() else Path(text)


def show_in_any_encoding() -> None:
    """Let no character stop a line of output: those that a terminal lacks are written in ASCII."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_HANDLER)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start:error.end]
    try:
        lost = lost.encode(errors="surrogateescape").decode()
    except UnicodeError:  # a name in another encoding
        pass
    return "".join(map(_one, lost)), error.end


def _one(character: str) -> str:
    if character in _ASCII:
        return _ASCII[character]
    greek = re.fullmatch("GREEK (SMALL|CAPITAL) LETTER ([A-Z]+)", unicodedata.name(character, ""))
    if greek:
        return greek[2].lower() if greek[1] == "SMALL" else greek[2].capitalize()
    letter = "".join(c for c in unicodedata.normalize("NFKD", character) if c.isascii())
    return letter or character.encode("ascii", "backslashreplace").decode()


_HANDLER = "phasegrok.ascii"
codecs.register_error(_HANDLER, _in_ascii)


def table(header: list[str], rows: list[list[str]]) -> str:
    """Columns aligned to the left, a rule under the header."""
    cells = [header, *rows]
    widths = [max(len(str(row[k])) for row in cells) for k in range(len(header))]
    lines = ["  ".join(str(c).ljust(w) for c, w in zip(row, widths)).rstrip() for row in cells]
    return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])
