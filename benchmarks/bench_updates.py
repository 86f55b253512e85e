"""Cost of a training step under each update, in gradients: the one-layer transformer, one core.

    python benchmarks/bench_updates.py [--rounds 9]

A step (gradient, update, noise, deposit) and the gradient alone are timed in turn, round by round,
in one process; the ratio is the median over the rounds, its range is printed beside it.
Evaluations are switched off.  Writes benchmarks/results/updates.json.
"""

import argparse

from side_by_side import Run, ratio, save, seconds

from phasegrok.cards.library import load
from phasegrok.networks.compiled.kernels import single_threaded_blas
from phasegrok.networks.engine import energy_and_gradient
from phasegrok.networks.training.settings import Settings

UPDATES = {
    "adamw": {}, "adamw, noise": dict(temperature=1e-6), "sgd": dict(optimiser="sgd"),
    "adamw + ema": dict(filter="ema"), "adamw + ma": dict(filter="ma"),
    "baoab": dict(optimiser="baoab", temperature=1e-6),
    "ghmc": dict(optimiser="ghmc", temperature=1e-6, lr=1e-4),
    "wand": dict(optimiser="wand", temperature=1e-6, weight_decay=0.0),
}
STEPS = {31: 100, 113: 16}  # ghmc takes one gradient more at the start of a block
NETWORKS = {31: {}, 113: dict(p=113, d_model=128, mlp=512, train_fraction=0.3)}


def measure(p, name, rounds):
    """Time of a step over that of its gradient."""
    changes = {f"parameters.{key}": value for key, value in NETWORKS[p].items()}
    system = load("transformer-subtraction-31", changes).build()
    ours = Run(system, Settings(**(dict(lr=1e-3) | UPDATES[name])))
    w, g = (system.matrices(x) for x in (ours.state.theta, ours.room.gradient))

    def gradients():
        for _ in range(STEPS[p]):
            energy_and_gradient(w, g, ours.room.train, ours.room.work)

    gradients()
    ours.advance(STEPS[p])
    n = STEPS[p]
    found = ratio(lambda: (seconds(ours.advance, n), n), lambda: (seconds(gradients), n), rounds)
    return dict(p=p, update=name, gradient_ms=found["ours_ns"] / 1e6,
                step_ms=found["peer_ns"] / 1e6,
                **{key: found[key] for key in ("ratio", "ratio_low", "ratio_high")})


def main():
    """Measure every update, print the table, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="interleaved repetitions")
    rounds = parser.parse_args().rounds
    rows = []
    print("  p  update           gradient ms   step ms   step over gradient (range)")
    with single_threaded_blas():
        for p in STEPS:
            for name in UPDATES:
                r = measure(p, name, rounds)
                rows.append(r)
                print(f"{p:3d}  {name:15s} {r['gradient_ms']:12.3f} {r['step_ms']:9.3f}   "
                      f"{r['ratio']:5.3f} ({r['ratio_low']:.3f}-{r['ratio_high']:.3f})", flush=True)
    save("updates", ("scipy",), rounds, rows)


if __name__ == "__main__":
    main()
