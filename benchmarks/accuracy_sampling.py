"""Canonical averages and quenches against exact results, in units of their own stated errors.

    python benchmarks/accuracy_sampling.py [--only TEXT] [--seed 1]

For every case: the averages compared, the root mean square and the largest z = (measured - exact) /
stated error over temperatures (or times), the largest relative stated error of the energy, whether
the run calls itself converged, and the seconds (compilation excluded).  Exact values come from all
states of small systems, from Kaufman's partition function and Yang's magnetisation of the square
lattice, from occupation numbers of infinite-range models, and from the solution of Glauber's chain.
Averages at one temperature are correlated, so that rms z of a case scatters about 1.
Writes benchmarks/results/sampling_accuracy.json.
"""

import argparse
import itertools
import json
import platform
import time
from pathlib import Path

import numpy as np

from phasegrok import cards
from phasegrok.cards.files import to_toml
from phasegrok.compiled import kernel
from phasegrok.studies.relaxation import relaxation
from phasegrok.studies.sampling import sampling
from phasegrok.systems.discrete import prepare, value_of
from phasegrok.theory import glauber, ising
from phasegrok.theory.solved import exact_averages

RESULT = Path(__file__).parent / "results" / "sampling_accuracy.json"
_CARD = """
name = "case"
title = "case"
kind = "{kind}"
reference = "none"
parameters = {parameters}
observables = {{ energy = "E", order_parameter = "Phi" }}
sample = {sample}
relaxation = {{ temperature = 1.0, sweeps = 512 }}
"""
ENUMERATED, SOLVED = "all states", "solved"
_EXCHANGE = {"exchange": True, "tune": True}
# name: kind, parameters, where exact values come from, temperatures, settings of [sample]
CASES = {
    "ising 2D L=4, checkerboard": ("ising-2d", {"L": 4}, ENUMERATED, "1.5:3.5:5",
                                   {"order": "checkerboard"}),
    "ising 2D L=4, h = 0.3": ("ising-2d", {"L": 4, "h": 0.3}, ENUMERATED, "1.5:3.5:5", {}),
    "ising 2D L=4, J2 = -0.3": ("ising-2d", {"L": 4, "J2": -0.3}, ENUMERATED, "1.0:3.0:5", {}),
    "ising 2D L=64": ("ising-2d", {"L": 64}, SOLVED, "2.0:2.6:7",
                      {"order": "checkerboard", "sweeps": 40_000}),
    "ising 2D L=64, wolff": ("ising-2d", {"L": 64}, SOLVED, "2.0:2.6:7",
                             {"dynamics": "wolff", "sweeps": 30_000,
                              "equilibration": 4000, "replicas": 8}),
    "ising 2D L=64, swendsen-wang": ("ising-2d", {"L": 64}, SOLVED, "2.0:2.6:7",
                                     {"dynamics": "swendsen-wang", "sweeps": 1200,
                                      "equilibration": 200, "replicas": 8}),
    "ising chain N=27, h = 0.2": ("ising-chain", {"N": 27, "h": 0.2}, SOLVED, "0.5:2.5:5", {}),
    "edwards-anderson 2D L=4": ("edwards-anderson", {"L": 4, "dimension": 2}, ENUMERATED,
                                "0.5:2.5:5", {}),
    "edwards-anderson 2D L=4, gaussian, exchange": (
        "edwards-anderson", {"L": 4, "dimension": 2, "couplings": "gaussian"}, ENUMERATED,
        "0.3:2.3:6", {"replicas": 16, "dynamics": "heat-bath", **_EXCHANGE}),
    "potts 2D q=3 L=3": ("potts-2d", {"L": 3, "q": 3}, ENUMERATED, "0.6:1.6:5",
                         {"replicas": 16}),
    "potts 2D q=3 L=3, swendsen-wang": ("potts-2d", {"L": 3, "q": 3}, ENUMERATED, "0.6:1.6:5",
                                        {"replicas": 16, "dynamics": "swendsen-wang"}),
    "blume-capel 2D L=3, D = 1.9": ("blume-capel-2d", {"L": 3, "D": 1.9}, ENUMERATED, "0.4:1.2:5",
                                    {"replicas": 16, **_EXCHANGE}),
    "sherrington-kirkpatrick N=16, exchange": (
        "sherrington-kirkpatrick", {"N": 16, "couplings": "gaussian"}, ENUMERATED, "0.2:1.4:7",
        {"replicas": 16, **_EXCHANGE}),
    "p-spin p=3 N=14, exchange": ("p-spin", {"N": 14}, ENUMERATED, "0.2:1.4:7",
                                  {"replicas": 16, **_EXCHANGE}),
    "curie-weiss J2 = J3 = 1 N=100": ("curie-weiss", {"N": 100, "J2": 1.0, "J3": 1.0}, SOLVED,
                                      "1.2:3.2:6", {"replicas": 16, **_EXCHANGE}),
    "potts mean-field q=4 N=60, exchange": ("potts-mean-field", {"N": 60, "q": 4}, SOLVED,
                                            "0.15:0.35:9", {"replicas": 16, **_EXCHANGE}),
    "east N=64": ("east", {"N": 64}, SOLVED, "0.7:2.0:4",
                  {"replicas": 16, "sweeps": 100_000, "equilibration": 20_000}),
    "ising perceptron N=11 P=11": ("ising-perceptron", {"N": 11, "P": 11}, ENUMERATED,
                                   "0.3:1.5:5", {"replicas": 16}),
}


@kernel(allocates=False)
def _all_states(system, digits, sigma, cache, energy, phi):
    """E and Phi of every configuration; ``digits`` counts through them in base q."""
    for state in range(energy.shape[0]):
        for i in range(sigma.shape[0]):
            sigma[i] = value_of(system, digits[i])
        energy[state], phi[state] = prepare(system, sigma, cache)
        i = 0
        while i < sigma.shape[0]:
            digits[i] += 1
            if digits[i] < digits[-1]:
                break
            digits[i] = 0
            i += 1


def enumerated(system, temperatures) -> dict[str, np.ndarray]:
    """Exact averages from all q^N states."""
    from phasegrok.systems.discrete import n_values

    n, q = system.n_sites, int(n_values(system))
    energy, phi = np.empty((2, q**n))
    digits = np.append(np.zeros(n, dtype=np.int64), q)
    _all_states(system, digits, np.zeros(n, dtype=np.int8),
                np.zeros(system.cache_size, dtype=np.int64), energy, phi)
    size = np.abs(phi / system.order_unit)
    rows: dict[str, list[float]] = {}
    for t in temperatures:
        w = np.exp(-(energy - energy.min()) / t)
        w /= w.sum()
        e, m, m2, m4 = w @ energy, w @ size, w @ size**2, w @ size**4
        values = {"energy": e / n, "heat_capacity": (w @ (energy - e) ** 2) / (n * t**2),
                  "order_parameter_abs": m, "susceptibility": n * (m2 - m**2) / t,
                  "binder": 1.0 - m4 / (3.0 * m2**2)}
        for name, value in values.items():
            rows.setdefault(name, []).append(value)
    return {name: np.array(values) for name, values in rows.items()}


def card_of(kind, parameters, sample):
    """A card made up for the case."""
    def table(values):
        return to_toml({"x": 0, **{"t": values}}).split("[t]\n")[1].strip()

    def inline(values):
        return "{ " + ", ".join(table(values).splitlines()) + " }"

    text = _CARD.format(kind=kind, parameters=inline(parameters), sample=inline(sample))
    return cards.from_text(text, Path.cwd())


def drive(protocol, seed):
    """The state at the end of the run, and the seconds."""
    protocol.advance(protocol.init(seed), 30)  # compiles
    start = time.perf_counter()
    state = protocol.init(seed)
    while protocol.done(state) < protocol.total():
        protocol.advance(state, protocol.total())
    return state, time.perf_counter() - start


def measure(name, seed):
    """Sample one case; returns its row of the table."""
    kind, parameters, source, temperatures, settings = CASES[name]
    card = card_of(kind, parameters, {"temperatures": temperatures, **settings})
    protocol = sampling(card)
    state, seconds = drive(protocol, seed)
    group = protocol.result(state)["averages"]
    T = group["temperature"]
    exact = enumerated(protocol.system, T) if source == ENUMERATED else exact_averages(
        kind, card.parameters, T)
    if kind == "ising-2d" and parameters["L"] >= 64:  # exponentially near to the infinite lattice
        yang = ising.spontaneous_magnetisation(T)
        exact["order_parameter_abs"] = np.where(T < 2.15, yang, np.nan)
    z = {q: (group[q] - value) / group[f"{q}_err"] for q, value in exact.items()}
    return row_of(z, np.max(np.abs(group["energy_err"] / group["energy"])),
                  bool(group.attributes["converged"]), seconds, group.attributes["dynamics"])


def measure_quench(seed, n=256, temperature=0.5):
    """Energy and two-time overlap of Glauber's chain after a quench, times apart by factors."""
    card = card_of("ising-chain", {"N": n}, {"sweeps": 100, "equilibration": 10})
    protocol = relaxation(card, temperature=temperature, sweeps=512)
    state, seconds = drive(protocol, seed)
    groups = protocol.result(state)
    one, two = groups["relaxation"], groups["two_time_overlap"]
    energy = glauber.quench_energy(one["time"].astype(float), temperature, 1.0, n)
    z = {"energy": (one["energy"] - energy) / one["energy_err"]}
    rows = []
    for w, t_w in itertools.islice(enumerate(two["waiting_time"]), 1, 4):
        known = np.isfinite(two["overlap"][w])
        since = two["time_since"][known].astype(float)
        exact = glauber.ageing_correlation(float(t_w), since, temperature, 1.0, n)
        rows.append((two["overlap"][w][known] - exact) / two["overlap_err"][w][known])
    z["two-time overlap"] = np.concatenate(rows)
    return row_of(z, np.max(np.abs(one["energy_err"] / energy)), True, seconds,
                  one.attributes["dynamics"])


def row_of(z, relative, converged, seconds, dynamics):
    """What the table shows of a case."""
    every = np.concatenate([np.ravel(values) for values in z.values()])
    every = every[np.isfinite(every)]
    return {"dynamics": dynamics, "quantities": sorted(z), "values": len(every),
            "rms_z": float(np.sqrt(np.mean(every**2))), "max_z": float(np.abs(every).max()),
            "relative_error": float(relative), "converged": converged, "seconds": seconds}


def main():
    """Measure all cases, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="run the cases whose name holds this text")
    parser.add_argument("--seed", type=int, default=1, help="seed of the replicas")
    arguments = parser.parse_args()
    todo = {name: (lambda name=name: measure(name, arguments.seed)) for name in CASES}
    todo["glauber chain N=256, quench to T=0.5"] = lambda: measure_quench(arguments.seed)
    rows = {}
    print(f"{'case':44}{'values':>7}{'rms z':>7}{'max z':>7}{'err of E':>10}{'converged':>10}"
          f"{'s':>7}")
    for name in (name for name in todo if arguments.only in name):
        row = rows[name] = todo[name]()
        print(f"{name:44}{row['values']:7d}{row['rms_z']:7.2f}{row['max_z']:7.2f}"
              f"{row['relative_error']:10.1e}{row['converged']!s:>10}{row['seconds']:7.1f}",
              flush=True)
    if not arguments.only:
        RESULT.parent.mkdir(exist_ok=True)
        text = {"seed": arguments.seed, "machine": platform.processor() or platform.machine(),
                "python": platform.python_version(), "cases": rows}
        RESULT.write_text(json.dumps(text, indent=1) + "\n")


if __name__ == "__main__":
    main()
