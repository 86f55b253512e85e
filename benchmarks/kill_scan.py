"""Kill a scan at random moments, and compare its result with that of an uninterrupted one.

    python benchmarks/kill_scan.py

starts a scan of eight points over two workers and kills, with SIGKILL and at random moments,
workers (round 1), the driver (round 2) and the driver with all its workers (round 3); what was
killed is started again by the same command.  Every run file must then equal that of the
uninterrupted scan bit for bit outside its provenance.  With a card this file is that scan: Ising
averages against the field.
"""

import argparse
import dataclasses
import os
import random
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
    from phasegrok.protocols import sampling, sampling_groups

    protocol = sampling(job.card, None, job.parameters.sweeps)
    job.finish(sampling_groups(job.card, protocol, job.drive(protocol)))


def run(job: Job) -> None:
    """Magnetisation against the field."""
    from phasegrok.runfile import Group
    from phasegrok.scan import Point, map_points

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
        if "phasegrok.workers" in words:
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
    from phasegrok import runfile

    names = sorted(path.name for path in reference.glob("*.h5"))
    if names != sorted(path.name for path in folder.glob("*.h5")):
        return names, len(names)
    differing = []
    for name in names:
        a, b = (contents(runfile.read(f / name, with_state=True)) for f in (folder, reference))
        if a != b:
            differing.append(name)
    return differing, len(names)


def contents(run) -> dict:
    """Every array of a run file as bytes, and the attributes of its groups: all but provenance."""
    import numpy as np

    found = {}
    for name, group in run.groups.items():
        found[name] = repr(sorted(group.attributes.items()))
        for key, variable in group.variables.items():
            array = np.asarray(variable.data)
            found[f"{name}/{key}"] = (str(array.dtype), array.shape, array.tobytes())
    for key, value in (run.state or {}).items():
        array = np.asarray(value)
        found[f"state/{key}"] = (str(array.dtype), array.shape, array.tobytes())
    return found


def demonstrate() -> None:
    """The three rounds as a table."""
    from phasegrok.figures.common import table

    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=6, help="kills a round (6)")
    parser.add_argument("--sweeps", type=int, default=100_000, help="sweeps at each point (1e5)")
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments of the kills (1)")
    given = parser.parse_args()
    rng = random.Random(given.seed)
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
    if len(sys.argv) > 1 and not sys.argv[1].startswith(("--kills", "--sweeps", "--seed", "-h")):
        main(__doc__, Parameters, run, ["ising-2d"], __file__, scan=True)
    else:
        demonstrate()
