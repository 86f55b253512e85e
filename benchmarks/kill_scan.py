"""Kill a scan at random moments, and compare its result with that of an uninterrupted one.

    python benchmarks/kill_scan.py

starts a scan of eight points over two workers and kills, with SIGKILL and at random moments,
workers (round 1), the driver (round 2) and the driver with all its workers (round 3); what was
killed is started again by the same command.  Every run file must then equal that of the
uninterrupted scan bit for bit outside its provenance.  With a card this file is that scan: Ising
averages against the field.

    python benchmarks/kill_scan.py --every [NAME ...]

does so with a tiny scan of every kind that experiments/ has, in one process: SIGTERM and SIGKILL a
random time after a random block of work, each time resumed by ``phasegrok resume`` of the scan or
of one of its points.
"""

import argparse
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from phasegrok.experiment import Job, main, parameter

FIELDS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
SETTINGS = ("ising-2d", "--set", "L=16", "--set", "sample.replicas=8", "--set",
            "sample.temperatures=2.2,2.4", "--set", "sample.equilibration=1000", "--set",
            "sample.exchange=true")
_GONE_SECONDS = 30.0  # that workers may outlive their driver


# --- the scan -------------------------------------------------------------------------------------


@dataclass
class Parameters:
    """What can be set on the command line."""

    sweeps: int = parameter(40_000, "sweeps at each point")
    points: int = parameter(len(FIELDS), "number of fields")


def measure(job: Job) -> None:
    """Sample at one field."""
    from phasegrok.studies.sampling import sampling, sampling_groups

    protocol = sampling(job.card, None, job.parameters.sweeps)
    job.finish(sampling_groups(job.card, protocol, job.drive(protocol)))


def run(job: Job) -> None:
    """Magnetisation against the field."""
    from phasegrok.groups import Group
    from phasegrok.run.point import Point
    from phasegrok.run.scan import map_points

    fields = FIELDS[: job.parameters.points]
    points = [Point(f"h={h:g}", job.card.changed({"h": h})) for h in fields]
    runs = map_points(job, measure, points)
    group = Group()
    group.add("field", fields, "field", "energy", "field h")
    for name in ("order_parameter_abs", "order_parameter_abs_err"):
        group.add(name, [r["averages"][name][0] for r in runs], "field", "1", f"{name} at T = 2.2")
    job.finish({"scan": group})


# --- the demonstration ----------------------------------------------------------------------------


@dataclasses.dataclass
class Round:
    """How one round of kills went."""

    killed: str
    kills: int
    starts: int
    seconds: float
    longest_survival: float
    differing: list[str]
    files: int


def start(folder: Path, sweeps: int, points: int, checkpoint: float) -> subprocess.Popen:
    """The scan in a process group of its own."""
    words = [*SETTINGS, "--sweeps", str(sweeps), "--points", str(points), "--out", str(folder),
             "--engine", "local", "--workers", "2", "--checkpoint", str(checkpoint)]
    log = open(f"{folder}.log", "a")
    return subprocess.Popen([sys.executable, __file__, *words], stdout=log, stderr=log,
                            start_new_session=True)


def workers_of(driver: subprocess.Popen) -> list:
    """Worker processes of a driver that are alive."""
    import psutil

    with_children = []
    try:
        with_children = psutil.Process(driver.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    found = []
    for process in with_children:
        try:
            words = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if "phasegrok.run.workers" in words:
            found.append(process)
    return found


def survival(processes: list) -> float:
    """Seconds until processes whose driver was killed are gone."""
    import psutil

    begin = time.monotonic()
    _, alive = psutil.wait_procs(processes, timeout=_GONE_SECONDS)
    if alive:
        raise SystemExit(f"{len(alive)} workers outlive their driver by {_GONE_SECONDS:g} s")
    return time.monotonic() - begin


def strike(what: str, driver: subprocess.Popen, rng: random.Random) -> float | None:
    """Kill; seconds that workers outlived their driver, None where nothing was there to kill."""
    workers = workers_of(driver)
    if not workers or driver.poll() is not None:
        return None
    if what == "workers":
        rng.choice(workers).kill()
        return 0.0
    if what == "driver":
        driver.kill()
    else:
        os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    return survival(workers)


def kill_round(what: str, kills: int, reference: Path, folder: Path, rng: random.Random,
               pause: tuple[float, float], **scan) -> Round:
    """One scan with ``kills`` kills of ``workers``, ``driver`` or ``everything``, then compared."""
    begin = time.monotonic()
    driver, starts, made, longest = start(folder, **scan), 1, 0, 0.0
    while True:
        if made < kills:
            time.sleep(rng.uniform(*pause))
            lived = strike(what, driver, rng)
            made += lived is not None
            longest = max(longest, lived or 0.0)
        elif driver.poll() is None:
            driver.wait()
        if driver.poll() == 0:
            break
        if driver.poll() is not None:
            if driver.returncode != -signal.SIGKILL:
                raise SystemExit(f"the driver ended with {driver.returncode}: "
                                 f"{Path(f'{folder}.log').read_text()[-4000:]}")
            driver = start(folder, **scan)
            starts += 1
    seconds = time.monotonic() - begin
    differing, files = compare(folder, reference)
    return Round(what, made, starts, seconds, longest, differing, files)


def compare(folder: Path, reference: Path) -> tuple[list[str], int]:
    """Names of the run files that differ from the reference's in any bit of data or state."""
    from phasegrok.run import runfile

    names = sorted(str(path.relative_to(reference)) for path in reference.rglob("*.h5"))
    if names != sorted(str(path.relative_to(folder)) for path in folder.rglob("*.h5")):
        return names, len(names)
    differing = []
    for name in names:
        a, b = (contents(runfile.read(f / name, with_state=True)) for f in (folder, reference))
        if a != b:
            differing.append(name)
    return differing, len(names)


def contents(run) -> dict:
    """Every array and attribute of a run file as bytes, and its state: all but provenance."""
    import numpy as np

    values = {f"state/{key}": value for key, value in (run.state or {}).items()}
    for name, group in run.groups.items():
        values |= {f"{name}.{key}": value for key, value in group.attributes.items()}
        for key, variable in group.variables.items():
            values[f"{name}/{key}"] = variable.data
            values |= {f"{name}/{key}.{what}": value for what, value in {
                "dims": variable.dims, "units": variable.units, "long_name": variable.long_name,
                **variable.attributes}.items()}
    arrays = {key: np.asarray(value) for key, value in values.items()}
    return {key: (array.dtype.str, array.shape, array.tobytes()) for key, array in arrays.items()}


# --- every kind of scan ---------------------------------------------------------------------------


def _set(*words: str) -> list[str]:
    return [part for word in words for part in ("--set", word)]


_NETWORK = _set("p=7", "d_model=8", "heads=2", "mlp=16", "training.replicas=2")
EVERY = {
    "phase_diagram": ["phase_diagram", "curie-weiss-field", *_set(
        "values=[0.0,1.2]", "phase_diagram.sizes=[24,48]", "phase_diagram.sweeps=20000",
        "phase_diagram.equilibration=500", "refinements=1",
        "phase_diagram.temperatures=1.6:6.0:10")],
    "finite_size": ["finite_size", "ising-2d", *_set(
        "finite_size.sizes=[4,6,9]", "finite_size.sweeps=20000", "finite_size.equilibration=200",
        "finite_size.replicas=32", "finite_size.temperatures=2.1:2.6:4",
        "finite_size.barrier_sizes=[4,5,6]", "finite_size.barrier_sweeps=20000")],
    "decay_law": ["decay_law", "--quick", *_set("training.steps=1000", "p=7", "hidden=[32]")],
    "optimisers": ["optimisers", "--quick", *_NETWORK, *_set(
        "training.steps=600", 'optimisers.names=["adamw","adamw+ema","sphere","sgd"]',
        "optimisers.settings={sgd={lr=0.01,weight_decay=0.0}}")],
    "learning_curve": ["learning_curve", "ising-perceptron", "--quick", *_set(
        "learning_curve.alphas=[0.6,1.2]", "learning_curve.sizes=[9,11]",
        "learning_curve.sweeps=9000", "learning_curve.walkers=2", "learning_curve.large=31",
        "learning_curve.large_samples=4", "learning_curve.quench_sweeps=512")],
    "spherical": ["learning_curve", "spherical-perceptron", "--quick", *_set(
        "learning_curve.alphas=[1.0,2.0]", "learning_curve.sizes=[11]",
        "learning_curve.samples=10", "learning_curve.sweeps=4000")],
    "perceptron_phases": ["phase_diagram", "ising-perceptron", "--quick", *_set(
        "learning_curve.alphas=[1.5,2.5]", "learning_curve.sizes=[9,11]",
        "learning_curve.sweeps=9000", "learning_curve.walkers=2", "learning_curve.large=0")],
    "neuron_phases": ["phase_diagram", "two-layer-modular", "--quick", *_set(
        "neuron_diagram.steps=4000", "neuron_diagram.equilibration=300", "N=100",
        "langevin.chains=4", "sigma_a2=2e-4", "neuron_diagram.sigma2_values=[0.008,0.014]")],
    "nucleation": ["nucleation", "--quick", *_set(
        "nucleation.sizes=[16,20,24]", "N=20", "nucleation.steps=4000", "langevin.chains=4")],
    "memorisation_gap": ["memorisation_gap", "two-layer-cubic-dataset", *_set(
        "epsilon=0.0", "d=8", "N=8", "sigma_a2=1.0", "memorisation_gap.patterns=[40,640]",
        "memorisation_gap.kappa=2e-3", "memorisation_gap.samples=2", "memorisation_gap.steps=4000",
        "memorisation_gap.equilibration=600")],
    "compare_accounts": ["compare_accounts", "control-drift", "curie-weiss-p3", "--quick", *_set(
        "clones=24", "scan_clones=8", "limit=50", "density_of_states.sweeps=2000")],
}
"""A tiny scan of every kind, as ``phasegrok run`` takes it."""

_STRUCK = """
import atexit, os, sys, threading
from pathlib import Path
from phasegrok import cli, figures
from phasegrok.run import progress
number, at, delay, log = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
update, blocks = progress.Progress.update, 0

def counting(self, share, status):
    global blocks
    update(self, share, status)
    blocks += 1
    if blocks == at:
        blow = threading.Timer(delay, os.kill, (os.getpid(), number))
        blow.daemon = True
        blow.start()

progress.Progress.update = counting
figures.save = lambda run, path: []
atexit.register(lambda: Path(log).write_text(str(blocks)))
sys.argv = ["phasegrok", *sys.argv[5:]]
cli.main()
"""


def struck(words: list[str], log: Path, number: int = 0, at: int = 0, delay: float = 0.0) -> int:
    """Run the command, with a signal ``delay`` s after the ``at``-th block; its exit code."""
    process = subprocess.run([sys.executable, "-c", _STRUCK, str(number), str(at), str(delay),
                              str(log), *words], capture_output=True, text=True)
    if process.returncode not in (0, 3, -signal.SIGTERM, -signal.SIGKILL):
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}:\n{process.stderr}")
    return process.returncode


def kill_every(name: str, kills: int, folder: Path, rng: random.Random) -> list[str]:
    """One scan whole, then cut by ``kills`` signals of either kind; a row of the table."""
    log, whole, cut = folder / "blocks", folder / "whole", folder / "cut"
    options = ["--checkpoint", "0.01"]
    struck(["run", *EVERY[name], "--out", str(whole)], log)
    blocks, left = int(log.read_text()), [signal.SIGTERM, signal.SIGKILL] * kills
    made, resumes, files, differing = {signal.SIGTERM: 0, signal.SIGKILL: 0}, 0, 0, 0
    while left or cut.exists():
        mains = [path for path in (cut / "scan.h5", cut / "verdict.h5") if path.exists()]
        points = [path for path in cut.rglob("*.h5") if path not in mains] if mains else []
        path = rng.choice(points) if points and rng.random() < 0.5 else mains[0] if mains else None
        words = ["resume", str(path)] if path else ["run", *EVERY[name], "--out", str(cut)]
        resumes += path is not None
        blow = left.pop(0) if left else 0
        at = rng.randint(1, max(2, blocks // kills)) if blow else 0
        code = struck([*words, *options], log, blow, at, rng.uniform(0.0, 0.3))
        if code != 0:
            made[signal.SIGKILL if code == -signal.SIGKILL else signal.SIGTERM] += 1
            continue
        differs, n = compare(cut, whole)
        files, differing = files + n, differing + len(differs)
        shutil.rmtree(cut)
    return [name, str(made[signal.SIGTERM]), str(made[signal.SIGKILL]), str(resumes),
            f"{files - differing} of {files} files"]


def demonstrate_every(names: list[str], kills: int, rng: random.Random) -> None:
    """Each kind of scan, a row each."""
    from phasegrok.text import table

    rows = []
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(kill_every(name, kills, Path(folder), rng))
        print(table(["scan", "SIGTERM", "SIGKILL", "resumed", "equal"], rows), flush=True)


def demonstrate() -> None:
    """The three rounds as a table."""
    from phasegrok.text import table

    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=6, help="kills a round (6)")
    parser.add_argument("--sweeps", type=int, default=100_000, help="sweeps at each point (1e5)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments of the kills (1)")
    parser.add_argument("--every", nargs="*", choices=EVERY, metavar="NAME", default=None,
                        help=f"tiny scans of every kind instead: {', '.join(EVERY)}")
    given = parser.parse_args()
    rng = random.Random(given.seed)
    if given.every is not None:
        demonstrate_every(given.every or list(EVERY), given.kills, rng)
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        scan = {"sweeps": given.sweeps, "points": len(FIELDS), "checkpoint": 1.0}
        whole = Path(name) / "whole"
        begin = time.monotonic()
        if start(whole, **scan).wait() != 0:
            raise SystemExit(Path(f"{whole}.log").read_text())
        rows.append(["nothing", "0", "1", f"{time.monotonic() - begin:.0f} s", "", "reference"])
        for what in ("workers", "driver", "everything"):
            r = kill_round(what, given.kills, whole, Path(name) / what, rng, (2.0, 8.0), **scan)
            rows.append([r.killed, str(r.kills), str(r.starts), f"{r.seconds:.0f} s",
                         f"{r.longest_survival:.1f} s" if what == "driver" else "",
                         f"{r.files - len(r.differing)} of {r.files} files"])
            print(table(["killed", "kills", "starts", "time", "workers outlive", "equal"], rows),
                  flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1 and not sys.argv[1].startswith(("--kills", "--sweeps", "--seed", "--every",
                                                           "-h")):
        main(__doc__, Parameters, run, ["ising-2d"], __file__, scan=True)
    else:
        demonstrate()
