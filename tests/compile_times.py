"""A plugin of pytest that says where compile time goes.

    NUMBA_CACHE_DIR=$(mktemp -d) PYTHONPATH=tests \\
        pytest -n 0 -p compile_times tests/protocols/test_blocks.py

The summary has one line a kernel: seconds of one core, without the kernels that it calls; how often
it was compiled; for how many types, a literal counted as its type; and the first test that asked.
More compilations than types are waste: a plain 0 or True is a type of its own (rule 7 of the
style), and overloads are not cached.  Compilations of other processes are not seen.
"""

import os
import time

from numba import types
from numba.core import event

_SHOWN = 40


class _Compilations(event.Listener):
    """Seconds, number and types of the compilations of each kernel."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self.times: dict[str, int] = {}
        self.types: dict[str, set] = {}
        self.test: dict[str, str] = {}
        self._running: list[list[float]] = []  # start, and seconds of what is called

    def on_start(self, event):
        self._running.append([time.thread_time(), 0.0])

    def on_end(self, event):
        start, inside = self._running.pop()
        whole = time.thread_time() - start
        if self._running:
            self._running[-1][1] += whole
        function = event.data["dispatcher"].py_func
        name = f"{function.__module__}.{function.__qualname__}"
        self.seconds[name] = self.seconds.get(name, 0.0) + whole - inside
        self.times[name] = self.times.get(name, 0) + 1
        self.types.setdefault(name, set()).add(tuple(map(types.unliteral, event.data["args"])))
        self.test.setdefault(name, os.environ.get("PYTEST_CURRENT_TEST", "").split(" ")[0])


_compilations = _Compilations()
event.register("numba:compile", _compilations)


def pytest_terminal_summary(terminalreporter):
    found = _compilations
    terminalreporter.section(f"{sum(found.seconds.values()):.1f} s of compilation")
    for name in sorted(found.seconds, key=found.seconds.__getitem__, reverse=True)[:_SHOWN]:
        terminalreporter.write_line(f"{found.seconds[name]:7.2f} s {found.times[name]:3d} times "
                                    f"{len(found.types[name]):3d} types  {name}  "
                                    f"({found.test[name]})")
