"""Pin what runs give, before and after a change that must not change a number.

    python benchmarks/pin_data_sets.py make OLD          # at the commit before the change
    python benchmarks/pin_data_sets.py half HALF         # the same commit: begun, not finished
    python benchmarks/pin_data_sets.py make NEW          # at the commit after it
    python benchmarks/pin_data_sets.py compare OLD NEW
    python benchmarks/pin_data_sets.py finish HALF DONE  # resumes old checkpoints with new code
    python benchmarks/pin_data_sets.py compare OLD DONE --common

``make`` runs every experiment and every option that takes another path through the code, as small
as that allows; it stops some of them in the middle and resumes them (NAME-resumed), and extends
some (NAME-extended).  ``describe`` writes attributes, shapes, types and SHA-256 of all data sets as
JSON, which ``compare`` takes in place of a folder.  Compared are data sets, their attributes, the
fields of the checkpoint, the printed tables and the pixels of figures, all bit for bit.

A process of the checkout in which this file stands does each run.  What is pinned holds on one
machine with one set of packages: other processors and versions round otherwise.
"""

import argparse
import configparser
import hashlib
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
EXCLUDED = {
    "started", "updated", "wall_s", "checkpoint_s",  # clocks
    "hostname", "pid", "cpu", "device", "versions", "git_commit",  # machine and checkout
    "command_line", "script", "script_sha256", "card_folder", "card_folders",  # where it was begun
    "resumed_after_change", "content_digest", "content_sha256",  # follow from those above
    "CLASS", "NAME", "REFERENCE_LIST", "DIMENSION_LIST",  # HDF5's own
}
"""Attributes that are not compared; all other attributes are."""

_NET = "p=7 d_model=8 heads=2 mlp=16 training.replicas=2"
_NETWORK = f"transformer-subtraction-31 {_NET} event.threshold=0.9 event.hold=0"
_SPINS = "ising-2d L=6 sample.temperatures=1.8:3:4 sample.equilibration=500"
_GLASS = "edwards-anderson-2d L=6"
_EVERY_T = "neuron_diagram.steps=1500 neuron_diagram.equilibration=100 neuron_diagram.lines=2"
RUNS = {
    # every experiment on its default cards
    "compare_accounts": "compare_accounts control-drift control-saddle --quick clones=24 "
    "scan_clones=8 limit=50",
    "compare_accounts-spins": "compare_accounts curie-weiss-p3 ising-perceptron --quick clones=24 "
    "scan_clones=8 limit=50 N=21 density_of_states.sweeps=4000",
    "compare_accounts-network": f"compare_accounts {_NETWORK} --quick clones=24 scan_clones=8 "
    "limit=300 training.steps=600 plateau_accuracy=0.2",
    "decay_law": "decay_law --quick p=7 hidden=[32] training.steps=4000",
    "density_of_states": "density_of_states --quick --walkers 4 --sweeps 400000",
    "effective_potential": "effective_potential --quick N=30 --sweeps 20000",
    "effective_potential-langevin": "effective_potential two-layer-cubic --quick d=8 N=10 "
    "--sweeps 4000 langevin.equilibration=200",
    "finite_size": "finite_size ising-2d finite_size.sizes=[4,6,9] finite_size.sweeps=20000 "
    "finite_size.equilibration=200 finite_size.replicas=32 finite_size.temperatures=2.1:2.6:4 "
    "finite_size.barrier_sizes=[4,5,6] finite_size.barrier_sweeps=20000",
    "finite_size-canonical": "finite_size potts-2d-q10 --quick finite_size.barrier_sizes=[4,5,6] "
    "finite_size.barrier_sweeps=2000",
    "learning_curve": "learning_curve ising-perceptron --quick learning_curve.alphas=[0.6,1.2] "
    "learning_curve.sizes=[9] learning_curve.samples=4 learning_curve.sweeps=9000 "
    "learning_curve.walkers=2 learning_curve.large=31 learning_curve.large_samples=4",
    "learning_curve-spherical": "learning_curve spherical-perceptron --quick "
    "learning_curve.sizes=[11] learning_curve.samples=6 learning_curve.sweeps=1000",
    "memorisation_gap": "memorisation_gap two-layer-cubic-dataset d=8 N=8 "
    "memorisation_gap.patterns=[40,160] memorisation_gap.samples=2 memorisation_gap.steps=2000 "
    "memorisation_gap.equilibration=600",
    "nucleation": "nucleation --quick nucleation.sizes=[16,20,24] N=20 nucleation.steps=4000 "
    "langevin.chains=4 nucleation.limit=4000",
    "optimisers": f"optimisers --quick {_NET} training.steps=600",
    "optimisers-wand": f"optimisers wand-subtraction-31 --quick {_NET} training.steps=300",
    "phase_diagram": "phase_diagram curie-weiss-field values=[0.0,1.2] refinements=1 "
    "phase_diagram.sizes=[24,48] phase_diagram.sweeps=20000 phase_diagram.equilibration=500 "
    "phase_diagram.temperatures=1.6:6.0:10",
    "phase_diagram-lattice": "phase_diagram --quick values=[0.0,0.2] phase_diagram.sizes=[4,6] "
    "phase_diagram.sweeps=2000 phase_diagram.equilibration=500 refinements=0",
    "phase_diagram-perceptron": "phase_diagram ising-perceptron --quick "
    "learning_curve.alphas=[1.5,2.5] learning_curve.sizes=[9,11] learning_curve.samples=4 "
    "learning_curve.sweeps=9000 learning_curve.walkers=2 learning_curve.large=0",
    "phase_diagram-neurons": f"phase_diagram two-layer-cubic --quick d=8 N=10 {_EVERY_T}",
    "phase_diagram-modular": f"phase_diagram two-layer-modular --quick N=100 {_EVERY_T}",
    "relaxation": "relaxation --quick N=256 --sweeps 20000",
    "sample": f"sample {_SPINS} --sweeps 100000",
    "training": f"training {_NETWORK} --steps 20000",
    "waiting_times": "waiting_times --quick N=100 --clones 200",
    # walkers, ladders, clusters, samples of disorder
    "wang_landau-joint": "density_of_states ising-perceptron --joint N=11 P=11 --sweeps 20000",
    "wang_landau-windows": "density_of_states ising-2d L=6 windows=3 --sweeps 20000",
    "wang_landau-samc": "density_of_states ising-2d L=6 schedule=samc --sweeps 20000",
    "wang_landau-binned": "density_of_states edwards-anderson-2d L=4 couplings=gaussian "
    "bin_width=1.0 --sweeps 20000",
    "exchange": f"sample {_SPINS} exchange=true --sweeps 60000",
    "exchange-wolff": f"sample {_SPINS} exchange=true sample.dynamics=wolff --sweeps 1000",
    "checkerboard": f"sample {_SPINS} order=checkerboard sample.replicas=8 --sweeps 2000",
    "heat-bath": f"sample {_SPINS} sample.dynamics=heat-bath sample.replicas=8 --sweeps 2000",
    "wolff": f"sample {_SPINS} sample.dynamics=wolff sample.replicas=8 --sweeps 60000",
    "swendsen-wang": "sample potts-2d-q10 --quick L=6 sample.temperatures=0.65:0.8:3 "
    "sample.equilibration=400 --sweeps 2000",
    "samples": f"sample {_GLASS} --samples 3 sample.temperatures=1:2.5:4 --sweeps 40000",
    "samples-relaxation": f"relaxation {_GLASS} --samples 3 --sweeps 1000",
    "samples-ramp": f"relaxation {_GLASS} --ramp --samples 2 ramp=0.5:2:4 --sweeps 64",
    "ramp": "relaxation --ramp N=256 relaxation.ramp=0.5:2:8 --sweeps 4096",
    "relaxation-words": "relaxation ising-2d-quench L=16 relaxation.replicas=512 --sweeps 500",
    "relaxation-east": "relaxation east --quick N=64 --sweeps 500",
    # networks: engines, minibatches, events, ramps of T, the other architectures
    "torch": f"training {_NETWORK} training.engine=torch --steps 600",
    "minibatch": f"training decoder-subtraction-31 {_NET} training.batch=16 --steps 6000",
    "event": f"training {_NETWORK} stop_at_event=true event.hold=50 --steps 20000",
    "anneal": f"training {_NETWORK} noise=1e-3 final_noise=1e-5 anneal=exponential --steps 600",
    "mlp": "training mlp-subtraction-31 p=7 hidden=[32] --steps 600",
    "mlp-torch": "training mlp-subtraction-31 p=7 hidden=[32] training.engine=torch --steps 300",
    "committee": "training committee-square-30 D=8 N=12 n=30 n_test=50 --quick --steps 2000",
    "student": "training student-training layers=[5,16,16,5] --steps 2000",
    "ghmc": f"training {_NETWORK} optimiser=ghmc lr=0.01 noise=1e-3 --steps 600",
    "clones-network": f"waiting_times {_NETWORK} plateau_accuracy=0.2 --clones 3 "
    "--temperature 1e-3 limit=20000 event.hold=1000",
    "clones-overdamped": "waiting_times control-saddle --clones 8 --temperature 1e-2 "
    "event.threshold=1.25 limit=2000",
    "clones-hold": "waiting_times --quick N=20 --clones 24 event.hold=2.0 limit=4000",
    "clones-metropolis": "waiting_times potts-2d-q10-nucleation --quick L=6 --clones 16 limit=500",
}
"""Words after ``phasegrok run``; KEY=VALUE stands for --set KEY=VALUE."""

FOLDERS = ("compare_accounts", "decay_law", "finite_size", "learning_curve", "memorisation_gap",
           "nucleation", "optimisers", "phase_diagram")
"""Experiments whose --out is a folder."""
STOPPED = ("density_of_states", "exchange", "wolff", "samples", "sample", "relaxation", "ramp",
           "training", "torch", "minibatch", "event", "clones-network", "waiting_times")
"""Single runs that ``make`` stops and resumes; they last seconds for that."""
EXTENDED = {"density_of_states": "--sweeps 500000", "exchange": "--sweeps 80000",
            "sample": "--sweeps 120000", "relaxation": "--sweeps 30000",
            "training": "--steps 22000", "torch": "--steps 700",
            "minibatch": "--steps 7000", "effective_potential-langevin": "--sweeps 6000"}
HALF = {"density_of_states": 1, "sample": 1, "exchange": 1, "training": 1, "relaxation": 1,
        "ramp": 1, "waiting_times": 1, "clones-network": 1, "effective_potential-langevin": 1,
        "phase_diagram": 3, "finite_size": 5, "decay_law": 3}
"""What ``half`` leaves, and in which of their points scans are stopped, counted from 1."""


# --- runs -----------------------------------------------------------------------------------------


def command(name: str, out: str) -> list[str]:
    """The command line of a run."""
    experiment, *words = RUNS[name].split()
    given = [part for word in words
             for part in (["--set", word] if "=" in word and word[0] != "-" else [word])]
    return [sys.executable, str(ROOT / "experiments" / f"{experiment}.py"), *given, "--out", out]


def output(name: str) -> str:
    """The run file of a run, or its folder."""
    return name if RUNS[name].split()[0] in FOLDERS else f"{name}.h5"


def environment() -> dict[str, str]:
    """That of a process of this checkout, whatever is installed.

    It has kernels of its own unless NUMBA_CACHE_DIR is set: where another checkout has the same
    sources, the mark that it leaves in a common cache keeps networks' kernels from being compiled
    apart (``phasegrok.networks.compiled.cold.compile_apart``), and the first run has other last
    digits.
    """
    own = Path.home() / ".cache" / f"phasegrok-pins-{hashlib.sha256(bytes(ROOT)).hexdigest()[:16]}"
    return {"NUMBA_CACHE_DIR": str(own)} | os.environ | {"PYTHONPATH": str(ROOT),
                                                         "MPLBACKEND": "Agg"}


def call(folder: Path, words: list[str], log: str = "") -> subprocess.CompletedProcess:
    """Run a command in ``folder``; what it prints goes to ``log`` there, if it succeeds."""
    done = subprocess.run(words, cwd=folder, env=environment(), capture_output=True, text=True)
    if done.returncode == 0 and log:
        (folder / log).write_text(done.stdout)
    return done


def resume(folder: Path, file: str, log: str, *options: str) -> str:
    """Resume a run with the script of this checkout; empty, or what went wrong."""
    with h5py.File(folder / file, "r") as opened:
        script = ROOT / "experiments" / f"{opened.attrs['experiment']}.py"
    done = call(folder, [sys.executable, str(script), "--resume", file, *options], log)
    return "" if done.returncode == 0 else f"{file}: {done.stderr.strip()[-600:]}"


def stop(folder: Path, name: str, out: str, point: int = 1, share: float = 15.0) -> str:
    """Run until the ``point``-th point is ``share`` per cent done, then SIGTERM: a checkpoint.

    Progress lines tell, which are frequent on a terminal only.
    """
    terminal, end = pty.openpty()
    process = subprocess.Popen([*command(name, out), "--checkpoint", "0.01"], cwd=folder,
                               env=environment(), stdout=subprocess.DEVNULL, stderr=end)
    os.close(end)
    text, told = "", False
    while True:
        try:
            text += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # the process has ended
            break
        shown = re.findall(r"\x1b\[K(.*?)  +([\d.]+) %", text)
        labels = list(dict.fromkeys(label for label, _ in shown))
        if not told and len(labels) >= point and float(shown[-1][1]) >= share * (point == 1):
            process.send_signal(signal.SIGTERM)
            told = True
    os.close(terminal)
    if process.wait() == 3:
        return ""
    return f"{out} was not stopped (code {process.returncode}):\n{text[-600:]}"


def make_one(folder: Path, name: str) -> str:
    """A run, stopped and resumed and extended where asked for; empty, or what went wrong."""
    begin, errors = time.monotonic(), []
    out = output(name)
    done = call(folder, command(name, out), f"{name}.txt")
    if done.returncode:
        return f"{name}: {done.stderr.strip()[-600:]}"
    lasted = time.monotonic() - begin
    if name in STOPPED:
        again = f"{name}-resumed.h5"
        errors.append(stop(folder, name, again))
        if (folder / again).exists():
            errors.append(resume(folder, again, ""))
            if pins_of(folder / out) != pins_of(folder / again):
                errors.append(f"{again} differs from {out}")
    if name in EXTENDED:
        more = f"{name}-extended.h5"
        shutil.copy(folder / out, folder / more)
        errors.append(resume(folder, more, f"{name}-extended.txt", *EXTENDED[name].split()))
    print(f"{name:30} {lasted:6.1f} s, {time.monotonic() - begin:6.1f} s with all", flush=True)
    return "\n".join(filter(None, errors))


def half_one(folder: Path, name: str) -> str:
    """Leave a run, or a scan, in the middle."""
    error = stop(folder, name, output(name), HALF[name])
    print(f"{name:30} {'failed' if error else 'stopped'}", flush=True)
    return error


def make(arguments, one=make_one, names=tuple(RUNS)) -> int:
    """All runs, some at a time; then what they hold."""
    arguments.folder.mkdir(parents=True, exist_ok=True)
    chosen = [name for name in names if not arguments.only or name in arguments.only]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        errors = list(filter(None, pool.map(lambda name: one(arguments.folder, name), chosen)))
    (arguments.folder / "pins.json").write_text(json.dumps(pins(arguments.folder), indent=1))
    print(*errors, f"{len(chosen)} runs, {len(errors)} failed", sep="\n")
    return bool(errors)


def finish(arguments) -> int:
    """Copy a folder, read and draw what is done there, and resume what is not, to its end."""
    out = arguments.out
    shutil.copytree(arguments.folder, out)
    attributes = {}
    for path in sorted(out.rglob("*.h5")):
        with h5py.File(path, "r") as file:
            attributes[str(path.relative_to(out))] = dict(file.attrs)
    done = {name for name, found in attributes.items() if found["status"] == "done"}
    before = {name: (out / name).read_bytes() for name in done}
    errors = []
    for name, found in attributes.items():
        if name in done or "part_of" in found:
            continue
        log = f"{name.split('/')[0].removesuffix('.h5')}.txt"
        error = resume(out, name, log)
        if "has changed" in error:
            print(f"refused without --force: {error}")
            error = resume(out, name, log, "--force")
        errors.append(error)
        print(f"resumed {name}: {error or 'done'}", flush=True)
    again = [name for name in done if (out / name).read_bytes() != before[name]]
    errors += [f"{name} was done and has been run again" for name in again]
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg")
    entry = settings["options.entry_points"]["console_scripts"].split("=")[1].strip()
    module, function = entry.split(":")
    for what in ("inspect", "plot"):
        code = (f"import sys\nfrom {module} import {function} as main\n"
                f"for name in sys.argv[1:]:\n    sys.argv = ['', '{what}', name]\n    main()")
        told = call(out, [sys.executable, "-c", code, *attributes], f"{what}.log")
        errors.append(f"{what}: {told.stderr.strip()[-600:]}" if told.returncode else "")
    errors = list(filter(None, errors))
    print(*errors, f"{len(done)} files were done, {len(attributes) - len(done)} were not; "
          f"{len(errors)} errors", sep="\n")
    return bool(errors)


# --- what they hold -------------------------------------------------------------------------------


def arrays(file: h5py.File) -> dict[str, np.ndarray]:
    """Every data set of a run file, and every field of its checkpoint."""
    found: dict[str, np.ndarray] = {}

    def add(name, node):
        if isinstance(node, h5py.Dataset) and not name.startswith("state/"):
            text = h5py.check_string_dtype(node.dtype)
            found[name] = np.asarray(node.asstr()[()], dtype=str) if text else node[()]

    file.visititems(add)
    if "state/checkpoint" in file:  # length of a header, the header, bytes
        raw = file["state/checkpoint"][()].tobytes()
        start = 8 + int.from_bytes(raw[:8], "little")
        for name, (dtype, shape, offset, size) in json.loads(raw[8:start]).items():
            piece = raw[start + offset : start + offset + size]
            found[f"state/{name}"] = np.frombuffer(piece, np.dtype(dtype)).reshape(shape)
    return {name: np.asarray(array) for name, array in found.items()}


def pins_of(path: Path) -> dict[str, object]:
    """What one file holds: attributes, and shape, type and hash of every array."""
    if path.suffix != ".h5":
        return {"bytes": hashlib.sha256(path.read_bytes()).hexdigest()}
    found: dict[str, object] = {}

    def add(name, node):
        for key, value in node.attrs.items():
            if key not in EXCLUDED:
                found[f"{name}@{key}"] = np.asarray(value).tolist()

    with h5py.File(path, "r") as file:
        add("", file)
        file.visititems(add)
        for name, array in arrays(file).items():
            data = "\0".join(array.ravel()).encode() if array.dtype.kind == "U" else array.tobytes()
            found[name] = [list(array.shape), array.dtype.str, hashlib.sha256(data).hexdigest()]
    return json.loads(json.dumps(found))  # NaN and all as they are read again


def pins(folder: Path) -> dict[str, dict[str, object]]:
    """What all run files, tables and figures (PDF has a date) in a folder hold, or a JSON of it."""
    if folder.is_file():
        return json.loads(folder.read_text())
    return {str(path.relative_to(folder)): pins_of(path) for path in sorted(folder.rglob("*"))
            if path.suffix in (".h5", ".txt", ".png")}


def describe(arguments) -> int:
    """Write what a folder holds."""
    arguments.out.write_text(json.dumps(pins(arguments.folder), indent=1))
    return 0


def largest_difference(a: Path, b: Path, item: str) -> str:
    """Of an array of floats in two files, relative to the larger of the two numbers."""
    if not (a.suffix == b.suffix == ".h5" and a.is_file() and b.is_file()):
        return ""
    with h5py.File(a, "r") as first, h5py.File(b, "r") as second:
        x, y = arrays(first).get(item), arrays(second).get(item)
    if x is None or y is None or x.shape != y.shape or x.dtype.kind != "f" or not x.size:
        return ""
    with np.errstate(all="ignore"):
        relative = np.abs(x - y) / np.maximum(np.abs(x), np.abs(y))
    return f", at most {np.nanmax(np.where(x == y, 0.0, relative), initial=0.0):.2e} relative"


def compare(arguments) -> int:
    """Print what is missing, new or different; 1 if anything is."""
    a, b = pins(arguments.a), pins(arguments.b)
    files, equal, differ = sorted(a.keys() & b.keys()), 0, 0
    alone = [] if arguments.common else sorted(a.keys() ^ b.keys())
    for name in alone:
        print(f"{'missing' if name in a else 'new':8} {name}")
    for name in files:
        for item in sorted(a[name].keys() | b[name].keys()):
            x, y = a[name].get(item), b[name].get(item)
            if repr(x) == repr(y):
                equal += "@" not in item
                continue
            differ += 1
            if x is None or y is None:
                print(f"{'new' if x is None else 'missing':8} {name}: {item}")
            elif "@" in item:
                print(f"differs  {name}: {item}: {repr(x)[:60]} and {repr(y)[:60]}")
            else:
                how = largest_difference(arguments.a / name, arguments.b / name, item)
                print(f"differs  {name}: {item}{how}")
    print(f"{len(files)} files, {equal} data sets equal, {differ} differ, {len(alone)} files alone")
    return bool(differ or alone)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, run in (("make", make), ("half", lambda given: make(given, half_one, tuple(HALF)))):
        one = commands.add_parser(name, help=f"{name}: run into FOLDER")
        one.add_argument("folder", type=Path)
        one.add_argument("--only", nargs="+", choices=RUNS, metavar="NAME", help="these runs")
        one.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time (1)")
        one.set_defaults(run=run)
    for name, run, what in (("describe", describe, "JSON file"), ("finish", finish, "new folder")):
        one = commands.add_parser(name, help=(run.__doc__ or "").strip())
        one.add_argument("folder", type=Path)
        one.add_argument(*(["out"] if run is finish else ["--out"]), type=Path, help=what)
        one.set_defaults(run=run)
    one = commands.add_parser("compare", help=(compare.__doc__ or "").strip())
    one.add_argument("a", type=Path, help="folder, or JSON of describe")
    one.add_argument("b", type=Path, help="the same, after the change")
    one.add_argument("--common", action="store_true", help="only files that both have")
    one.set_defaults(run=compare)
    arguments = parser.parse_args()
    return int(arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
