"""Write docs/performance.md from benchmarks/results/, so that no number is typed by hand.

    python docs/make_performance.py

``tests/whole/test_docs.py`` compares the page with :func:`page`.
"""

import json
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "performance.md"
RESULTS = PAGE.parent.parent / "benchmarks" / "results"

_HEAD = """\
# Performance

Benchmarks are scripts that print a table and write a file in `benchmarks/results/`; the tables
below are made from these files by `python docs/make_performance.py`. Where two codes are compared,
they are timed in turn in one process on one core, with matched physics: losses, or energies within
their errors, must agree before a ratio is printed.
"""


def page() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD]
    for name, make in (("transformer", _transformer), ("decoder", _decoder), ("mlp", _mlp),
                       ("updates", _updates), ("replicas-cpu", _replicas),
                       ("replicas-cuda", _replicas),
                       ("metropolis", _metropolis), ("cluster", _cluster),
                       ("general", _general), ("langevin", _langevin), ("landscape", _landscape),
                       ("normals", _normals),
                       ("sampling_accuracy", _sampling), ("wang_landau", _wang_landau),
                       ("density_of_states_error", _error), ("wang_landau_accuracy", _accuracy)):
        path = RESULTS / f"{name}.json"
        if path.is_file():
            parts.append(make(json.loads(path.read_text())))
    return "\n".join(parts)


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]]
    return "\n".join(lines) + "\n"


def _transformer(result: dict) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    rows = []
    for r in result["rows"]:
        p = r["parameters"]
        rows.append([
            str(p["p"]), str(p["d_model"]), str(p["mlp"]), str(r["n_train"]),
            f"{r['peer_ms']:.3g}", f"{r['ours_ms']:.3g}",
            f"{r['ratio']:.1f} ({r['ratio_low']:.1f} to {r['ratio_high']:.1f})",
        ])
    header = ["p", "d_model", "mlp", "train pairs", "PyTorch, ms", "phasegrok, ms",
              "ratio (range)"]
    return (
        "## Training step of the one-layer transformer\n\n```\n"
        "python benchmarks/bench_transformer.py\n```\n\n"
        "One full-batch AdamW step, without evaluations, against a plain PyTorch implementation of "
        f"the same\nstep; median of {result['rounds']} rounds, {result['threads']} thread, "
        f"{result['processor']}, {versions}.\n\n" + _table(header, rows))


def _decoder(result: dict) -> str:
    rows = []
    for r in result["rows"]:
        p = r["parameters"]
        rows.append([str(p["p"]), str(p["d_model"]), str(r["batch"]), r["peer"],
                     f"{r['peer_ms']:.3g}", f"{r['ours_ms']:.3g}", _ratio(r)])
    header = ["p", "d_model", "minibatch", "peer's attention", "PyTorch, ms", "phasegrok, ms",
              "ratio (range)"]
    return (
        "## Training step of the two-layer decoder\n\n```\n"
        "python benchmarks/bench_decoder.py\n```\n\n"
        "One minibatch step of AdamW, without evaluations, against a plain PyTorch implementation "
        "of the\nsame step: a module a head, as published, or one projection of all heads. Three "
        "quarters of our time\nare matrix products, of which the peer makes 2.8 times as many.\n"
        f"{_setting(result)}\n\n" + _table(header, rows))


def _mlp(result: dict) -> str:
    rows = [[f"`{r['case']}`", "-".join(str(k) for k in r["units"]), r["optimiser"],
             str(r["n_train"]), r["inputs"], f"{r['peer_ms']:.3g}", f"{r['ours_ms']:.3g}",
             _ratio(r)] for r in result["rows"]]
    header = ["card", "units", "optimiser", "patterns", "peer's inputs", "PyTorch, ms",
              "phasegrok, ms", "ratio (range)"]
    return (
        "## Training step of multilayer perceptrons\n\n```\npython benchmarks/bench_mlp.py\n```\n\n"
        "One full-batch step, without evaluations, against a plain PyTorch training loop. On pairs "
        "the peer\nmultiplies one-hot vectors, as published, or reads two embedding tables, as we "
        "do; then both make the\nsame matrix products, four fifths of our time at p = 97. The "
        "committee machine goes by two moments of\nits weights, with fewer products than the "
        f"peer.\n{_setting(result)}\n\n" + _table(header, rows))


def _updates(result: dict) -> str:
    rows = [[str(r["p"]), r["update"], f"{r['gradient_ms']:.3g}", f"{r['step_ms']:.3g}", _ratio(r)]
            for r in result["rows"]]
    header = ["p", "update", "gradient, ms", "step, ms", "step over gradient (range)"]
    return (
        "## Cost of updates\n\n```\npython benchmarks/bench_updates.py\n```\n\n"
        "A step of the one-layer transformer over its gradient alone, full batch.\n"
        f"{_setting(result)}\n\n" + _table(header, rows))


def _replicas(result: dict) -> str:
    rows = [[r["case"], str(r["replicas"]), f"{r['peer_per_second']:.3g}",
             f"{r['ours_per_second']:.3g}", _ratio(r),
             f"{r['compiled_per_second']:.3g}" if r.get("compiled_per_second") else "-"]
            for r in result["rows"]]
    header = ["network", "replicas", "plain loop", "stacked", "ratio (range)", "compiled engine"]
    return (
        f"## Stacked replicas in PyTorch, on {result['device']}\n\n```\n"
        "python benchmarks/bench_replicas.py\n```\n\n"
        "Steps of a replica per second: a loop of plain PyTorch runs, the engine `torch`, and the "
        "compiled\nengine, which is the one to use on a CPU.\n"
        f"{_setting(result)}\n\n" + _table(header, rows))


def _ratio(r: dict) -> str:
    return f"{r['ratio']:.3g} ({r['ratio_low']:.3g} to {r['ratio_high']:.3g})"


def _setting(result: dict) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return (f"Median of {result['rounds']} rounds (range), {result['threads']} thread, "
            f"{result['processor']}, {versions}.")


def _metropolis(result: dict) -> str:
    rows = [[r["case"], r["dynamics"], r["peer"], f"{r['peer_per_ns']:.3g}",
             f"{r['ours_per_ns']:.3g}", _ratio(r)] for r in result["rows"]]
    header = ["case", "dynamics", "peer", "peer, updates/ns", "phasegrok, updates/ns",
              "ratio (range)"]
    exponents = ["| case | exponent |", "| --- | --- |"]
    exponents += [f"| {name} | {value:.2f} |" for name, value in result["exponents"].items()]
    return (
        "## Single-site updates of many replicas\n\n```\n"
        "python benchmarks/bench_metropolis.py\n```\n\n"
        "Multi-spin coding against packages and a textbook loop; energies agree at T = 3, speed is "
        f"measured at T_c.\n{_setting(result)}\n\n" + _table(header, rows)
        + "\nTime of a sweep against L, fitted exponent (2: proportional to the sites):\n\n"
        + "\n".join(exponents) + "\n")


def _nanoseconds(title: str, script: str, text: str, result: dict) -> str:
    rows = [[r["case"], f"{r['peer_ns']:.3g}", f"{r['ours_ns']:.3g}", _ratio(r)]
            for r in result["rows"]]
    header = ["case", "mcising, ns", "phasegrok, ns", "ratio (range)"]
    head = f"## {title}\n\n```\npython benchmarks/{script}\n```\n\n"
    return f"{head}{text}\n{_setting(result)}\n\n" + _table(header, rows)


def _cluster(result: dict) -> str:
    ours, peer = (result["exponents"][f"{who}_ns"] for who in ("ours", "peer"))
    return _nanoseconds(
        "Wolff clusters", "bench_cluster.py",
        "Time for each flipped spin of the 2D Ising model at T_c; it grows with L as "
        f"L^{ours:.2f} here and\nL^{peer:.2f} in the peer.", result)


def _general(result: dict) -> str:
    text = _nanoseconds(
        "Single-site updates on any graph", "bench_general.py",
        "Time for each attempted update of one configuration at T_c; couplings, field and graph "
        "are arbitrary\nhere. Sequential order is like with like; random sites cost more memory "
        "traffic.", result)
    alone = [[r["case"], f"{r['ours_ns']:.3g}"] for r in result["without_peer"]]
    return text + "\n" + _table(["without a peer", "phasegrok, ns"], alone)


def _langevin(result: dict) -> str:
    rows = [[r["case"], f"{r['peer_ns'] / 1e3:.0f}", f"{r['ours_ns'] / 1e3:.0f}",
             f"{r['ratio']:.1f} ({r['ratio_low']:.1f}-{r['ratio_high']:.1f})"]
            for r in result["rows"]]
    return (
        "## Langevin steps of a two-layer network\n\n```\n"
        "python benchmarks/bench_langevin.py\n```\n\n"
        "Euler-Maruyama steps in float64, noise included; the slopes of both sides agree to 1e-10. "
        "On patterns,\nmatrix products and error functions take most of the time on both sides.\n\n"
        + _table(["network", "PyTorch, µs", "phasegrok, µs", "ratio"], rows))


def _landscape(result: dict) -> str:
    rows = [[str(r["p"]), str(r["hidden"]), r["measure"], f"{r['steps_a_second']:,.0f}",
             f"{r['gradient_us']:.3g}", _ratio(r)] for r in result["rows"]]
    return (
        "## Networks under a measure\n\n```\npython benchmarks/bench_landscape.py\n```\n\n"
        "A GHMC step of a chain of a quadratic network on pairs modulo p, one core, beside its "
        "gradient alone, in turn; float32,\n|θ| 5.5 times that at the start, T = 1e-3.\n"
        f"{_setting(result)}\n\n"
        + _table(["p", "hidden", "measure", "steps a second", "gradient, us",
                  "step over gradient (range)"], rows))


def _normals(result: dict) -> str:
    rows = [[r["case"], f"{r['peer_ns']:.3g}", f"{r['ours_ns']:.3g}", _ratio(r)]
            for r in result["rows"]]
    return (
        "## Normal numbers\n\n```\npython benchmarks/bench_normals.py\n```\n\n"
        "Nanoseconds a standard normal number, arrays filled in place, against NumPy's PCG64.\n"
        f"{_setting(result)}\n\n"
        + _table(["array", "NumPy, ns", "phasegrok, ns", "ratio (range)"], rows))


def _sampling(result: dict) -> str:
    rows = [[name, r["dynamics"], str(r["values"]), f"{r['rms_z']:.2f}", f"{r['max_z']:.2f}",
             f"{r['relative_error']:.1e}", "yes" if r["converged"] else "no",
             f"{r['seconds']:.1f}"] for name, r in result["cases"].items()]
    header = ["case", "dynamics", "values", "rms z", "largest z", "error of E", "converged", "s"]
    return (
        "## Averages and quenches against exact results\n\n```\n"
        "python benchmarks/accuracy_sampling.py\n```\n\n"
        "z = (measured - exact) / stated error of energy, heat capacity, modulus of the order "
        "parameter,\nsusceptibility and Binder cumulant where each is known, over several "
        f"temperatures (or times), seed {result['seed']}.\nValues at one temperature are "
        "correlated. The error of E is the largest relative stated error.\n\n"
        + _table(header, rows))


def _wang_landau(result: dict) -> str:
    rows = [[r["peer"], r["stage"], f"{r['peer_ns']:.3g}", f"{r['ours_ns']:.3g}", _ratio(r)]
            for r in result["rows"]]
    header = ["peer", "stage here", "peer, ns", "phasegrok, ns", "ratio (range)"]
    return (
        "## Attempted flips of Wang-Landau sampling\n\n```\n"
        "python benchmarks/bench_wang_landau.py\n```\n\n"
        f"Time of an attempt on all energies of the {result['L']} x {result['L']} Ising lattice, "
        "one walker. On 4 x 4, ln g of\nall sides agrees with the exact one.\n"
        f"{_setting(result)}\n\n" + _table(header, rows))


def _error(result: dict) -> str:
    target, versions = f"{result['target']:g}", result["versions"]
    parts = []
    for joint in (False, True):
        rows = [r for r in result["rows"] if r["joint"] == joint]
        sizes, sides = sorted({r["L"] for r in rows}), list(dict.fromkeys(r["side"] for r in rows))
        of = {(r["side"], r["L"]): r for r in rows}
        lines = []
        for side in sides:
            line = [side]
            for L in sizes:
                r = of.get((side, L))
                line += ["", ""] if r is None else [_reached(r), _at_end(r)]
            lines.append(line)
        header = ["ln g(E, M)" if joint else "ln g(E)"]
        for L in sizes:
            header += [f"L = {L}: core s to {target}", "error at the end of the longest run"]
        parts.append(_table(header, lines))
    return (
        f"## Core seconds to an error of {target} in ln g\n\n```\n"
        "pip install icet==4.0 flatwalk==0.1.0\n"
        "python benchmarks/bench_density_of_states.py\n```\n\n"
        "Root mean square error over all cells of the L x L Ising lattice against exact counts, of "
        f"{_seeds(result['rows'])} seeds,\nlearning, equilibration and the estimate included; 8 "
        "ladders or walkers of phasegrok. ~: the law error² ~ 1/t is\ncontinued from the longest "
        f"three runs. {result['processor']}, numpy {versions['numpy']}, numba "
        f"{versions['numba']}.\n\n"
        + "\n".join(parts)
        + "\n![Error against core seconds](../benchmarks/results/density_of_states_error.png)\n")


def _seeds(rows: list[dict]) -> str:
    return " or ".join(map(str, sorted({row["seeds"] for row in rows})))


def _reached(row: dict) -> str:
    needed = row["core_seconds_to_target"]
    if not needed == needed:  # NaN
        return "no law yet"
    return ("~" if row["extrapolated"] else "") + f"{needed:.2g}"


def _at_end(row: dict) -> str:
    core, missing, error = (row[k][-1] for k in ("core_seconds", "missing", "error"))
    return (f"{missing:.0f} cells missing" if missing else f"{error:.2g}") + f" in {core:.2g} s"


def _accuracy(result: dict) -> str:
    rows = [[name, str(r["cells"]), f"{r['sweeps']:g}", f"{r['max_error']:.4f}",
             f"{r['rms_error']:.4f}", f"{r['rms_stated_error']:.4f}", f"{r['rms_z']:.2f}",
             "yes" if r["complete"] else "no", f"{r['seconds']:.1f}"]
            for name, r in result["cases"].items()]
    header = ["case", "cells", "sweeps", "largest error", "rms error", "rms stated error", "rms z",
              "complete", "s"]
    return (
        "## Error of ln g against exact tables\n\n```\n"
        "python benchmarks/accuracy_wang_landau.py\n```\n\n"
        f"Errors in nats, seed {result['seed']}. With 8 walkers an error over its stated error "
        "follows about Student's t\nwith 7 degrees of freedom, of rms 1.18; cells of one run are "
        "correlated.\n\n" + _table(header, rows))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
