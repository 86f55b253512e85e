"""Timing two programs in turn on one core, and writing the table of results."""

import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from phasegrok.networks.training import kernel as trainer
from phasegrok.rng import streams

NEVER = 10**9  # eval_every beyond any step
RESULTS = Path(__file__).parent / "results"


class Run:
    """A compiled training run, advanced without evaluations."""

    def __init__(self, system, settings):
        self.system, self.room = system, trainer.scratch(system)
        self.settings = settings.model_copy(update=dict(eval_every=NEVER))
        self.state = trainer.init(system, settings, streams(1, "benchmark", 1)[0])

    def advance(self, n):
        """Advance by n steps."""
        trainer.advance(self.system, self.settings, self.state, n, self.room)

    def chosen(self):
        """Training patterns of the last step, where minibatches are whole."""
        batch = self.settings.batch
        first = (self.state.step - 1) % (len(self.state.order) // batch) * batch
        return torch.from_numpy(self.state.order[first : first + batch].copy())

    def loss(self):
        """Loss of all training patterns with the present weights."""
        every = self.settings.model_copy(update=dict(eval_every=max(1, self.state.step)))
        copy = self.state.copy()
        return float(trainer.advance(self.system, every, copy, 0, self.room).train_loss[-1])


def ratio(peer, ours, rounds):
    """Nanoseconds per unit of work of both sides, and their ratio, as a dictionary.

    ``peer`` and ``ours`` do some work and return (seconds, units of work); they are called in turn
    ``rounds`` times.  The ratio is the median over the rounds.
    """
    times = []
    for _ in range(rounds):
        times.append([1e9 * seconds / units for seconds, units in (peer(), ours())])
    peer_ns, ours_ns = np.array(times).T
    each = peer_ns / ours_ns
    return dict(peer_ns=float(np.median(peer_ns)), ours_ns=float(np.median(ours_ns)),
                ratio=float(np.median(each)), ratio_low=float(each.min()),
                ratio_high=float(each.max()))


def seconds(function, *arguments):
    """Wall time of a call."""
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def agreement(name, *pairs):
    """Largest deviation in standard errors of pairs (a, a's error, b, b's error); refuse four."""
    z = max(abs(a - b) / np.hypot(a_err, b_err) for a, a_err, b, b_err in pairs)
    if z > 4.0:
        raise RuntimeError(f"{name}: the two sides differ by {z:.1f} standard errors: {pairs}")
    return float(z)


def show(row):
    """One line of the table."""
    print(f"{row['case']:34s} {row['peer_ns']:9.2f} {row['ours_ns']:9.2f}   {row['ratio']:5.2f} "
          f"({row['ratio_low']:.2f}-{row['ratio_high']:.2f}) {row['floor']:6.1f} {row['goal']:5.1f}"
          f"   {row['agreement']:.1f}", flush=True)


def save(name, peers, rounds, rows, **more):
    """Write benchmarks/results/NAME.json."""
    versions = {package: version(package) for package in ("numpy", "numba", *peers)}
    versions["python"] = platform.python_version()
    RESULTS.mkdir(exist_ok=True)
    result = dict(threads=1, processor=processor(), versions=versions, rounds=rounds, rows=rows,
                  **more)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")


def processor():
    """Name of the processor, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
