"""One line that says how far a run is."""

import os
import sys
import time

from phasegrok.text import printable

_SOON = 5.0  # s, after which the time of a long run is guessed from its first steps
_LONGEST = 3e9  # s, a century: more is no time but a division by nearly nothing


class Progress:
    """One line that says how far a run is: in place on a terminal, now and then in a log."""

    def __init__(self, label: str, silent: bool = False):
        self._label = printable(label)
        self._silent = silent
        self._start = time.monotonic()
        self._shown = 0.0
        self._terminal = sys.stderr.isatty()
        self._first_share: float | None = None

    def update(self, share: float, status: str) -> None:
        """Show that ``share`` of the work is done."""
        now = time.monotonic()
        if self._first_share is None:
            self._first_share = share
        if self._silent or now - self._shown < (0.2 if self._terminal else 15.0):
            return
        self._shown = now
        elapsed = now - self._start
        made = share - self._first_share
        known = made > 0.01 or (made > 0.0 and elapsed > _SOON)
        left = f"{duration(elapsed * (1.0 - share) / made)} left" if known else "..."
        line = f"{self._label}  {100 * share:5.1f} %  {duration(elapsed)}, {left}  {status}"
        if self._terminal:
            width = os.get_terminal_size(sys.stderr.fileno()).columns
            print(f"\r\033[K{line[: width - 1]}", end="", file=sys.stderr, flush=True)
        else:
            print(line, file=sys.stderr, flush=True)

    def close(self, status: str) -> None:
        """The last line of this run."""
        if self._silent:
            return
        start = "\r\033[K" if self._terminal else ""
        elapsed = duration(time.monotonic() - self._start)
        print(f"{start}{self._label}  {status} ({elapsed})", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """A time in words: 75 s, 12 min 03 s, 3 h 05 min; a dash where it is not known."""
    if not 0.0 <= seconds < _LONGEST:
        return "-"
    seconds = int(seconds)
    if seconds < 90:
        return f"{seconds} s"
    if seconds < 5400:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"
