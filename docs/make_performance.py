"""Write docs/performance.md from benchmarks/results/, so that no number is typed by hand.

    python docs/make_performance.py

``tests/test_docs.py`` compares the page with :func:`page`.
"""

import json
from pathlib import Path

PAGE = Path(__file__).resolve().parent / "performance.md"
RESULTS = PAGE.parent.parent / "benchmarks" / "results"

_HEAD = """\
# Performance

Benchmarks are scripts that print a table and write a file in `benchmarks/results/`; the tables
below are made from these files by `python docs/make_performance.py`. Where two codes are compared,
they are timed in turn in one process on one core, with matched physics: their losses must agree
before a ratio is printed.
"""


def page() -> str:
    """The whole page as Markdown."""
    parts = [_HEAD]
    for name, make in (("transformer", _transformer), ("wang_landau_accuracy", _accuracy)):
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
    PAGE.write_text(page())
