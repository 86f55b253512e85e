"""Time of runs in two checkouts of this package, in turn: does a change cost speed?

    python benchmarks/bench_checkouts.py OTHER [--rounds 5] [--only NAME ...]

OTHER is the folder of the other checkout, say of the commit before the change.  Each case is a run
of a few seconds whose time goes into one kernel.  Both checkouts make it in turn, in processes of
their own, after a first round that is not counted and compiles; the time is ``wall_s`` of the run
file, without imports and figures.  Printed is the median over rounds of the ratio, here over there,
with its range: below 1 this checkout is faster.  Nothing else should run on the machine.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py

HERE = Path(__file__).resolve().parent.parent
CASES = {
    "lattice, 64 in a word": "sample ising-2d --set L=64 --set sample.temperatures=2.2:2.4:2 "
    "--set sample.replicas=64 --sweeps 15000",
    "lattice, exchange": "sample ising-2d --set L=16 --set sample.temperatures=2.1:2.5:5 "
    "--set sample.dynamics=wolff --set sample.exchange=true --sweeps 5000",
    "spin glass, single sites": "sample sherrington-kirkpatrick --set N=64 "
    "--set sample.temperatures=0.6:1.2:4 --sweeps 40000",
    "quench": "relaxation edwards-anderson-3d --sweeps 2000",
    "Wang-Landau, ln g(E)": "density_of_states ising-2d --set L=16 --sweeps 300000",
    "Wang-Landau, ln g(E, M)": "effective_potential curie-weiss-p3 --sweeps 200000",
    "clones": "waiting_times curie-weiss-p3 --set clones=1000",
    "Langevin chains": "effective_potential ridge --set langevin.steps=40000",
    "transformer, AdamW": "training transformer-subtraction-31 --set training.replicas=2 "
    "--steps 4000",
    "transformer, GHMC": "training transformer-subtraction-31 --set training.replicas=2 "
    "--set optimiser=ghmc --set noise=1e-4 --steps 2000",
    "mlp, AdamW": "training mlp-subtraction-31 --set training.replicas=2 --steps 8000",
    "committee": "training committee-square --set training.replicas=2 --steps 20000",
}


def seconds(checkout: Path, words: list[str]) -> float:
    """``wall_s`` of a run that ``checkout`` makes."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run.h5"
        script = checkout / "experiments" / f"{words[0]}.py"
        done = subprocess.run([sys.executable, str(script), *words[1:], "--out", str(out)],
                              env=os.environ | {"PYTHONPATH": str(checkout)}, cwd=folder,
                              capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{script} {' '.join(words[1:])}: {done.stderr}")
        with h5py.File(out, "r") as file:
            return float(file.attrs["wall_s"])


def main() -> None:
    """Print a line a case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("other", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=CASES, default=list(CASES))
    given = parser.parse_args()
    for name in given.only:
        words = CASES[name].split()
        pairs = [(seconds(HERE, words), seconds(given.other.resolve(), words))
                 for _ in range(given.rounds + 1)][1:]
        ratios = [here / there for here, there in pairs]
        print(f"{name:26s} {statistics.median(here for here, _ in pairs):6.2f} s  "
              f"{statistics.median(ratios):.3f}  [{min(ratios):.3f}, {max(ratios):.3f}]",
              flush=True)


if __name__ == "__main__":
    main()
