"""Time of one full-batch training step of the transformer against plain PyTorch, on one core.

    python benchmarks/bench_transformer.py [--rounds 7]

Both start from the same weights and take the same steps; their losses must agree before a ratio is
printed.  The two are timed in turn, round by round, in one process; the ratio is the median over
the rounds, its range is printed beside it.  Evaluations are switched off on both sides.  Writes
benchmarks/results/transformer.json.
"""

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch
from side_by_side import Run, processor
from transformer_peer import Peer

from phasegrok.networks.compiled.kernels import single_threaded_blas
from phasegrok.networks.models.transformer import Parameters
from phasegrok.networks.training.settings import Settings

RESULT = Path(__file__).parent / "results" / "transformer.json"
CASES = {
    "p 31": dict(p=31, train_fraction=0.7, d_model=48, heads=4, mlp=192),
    "p 59": dict(p=59, train_fraction=0.7, d_model=64, heads=4, mlp=256),
    "p 113": dict(p=113, train_fraction=0.3, d_model=128, heads=4, mlp=512),
}
FLOOR = {"p 31": 9.0, "p 59": 9.0, "p 113": 6.0}
GOAL = {"p 31": 12.0, "p 59": 12.0, "p 113": 8.0}
STEPS = {"p 31": (30, 400), "p 59": (8, 100), "p 113": (3, 20)}  # a round: peer, ours


def seconds(function, n):
    """Wall time of ``function(n)`` for each of n."""
    start = time.perf_counter()
    function(n)
    return (time.perf_counter() - start) / n


def measure(name, rounds):
    """Times of both sides; raises where their losses differ."""
    system = Parameters(operation="-", **CASES[name]).build()
    ours = Run(system, Settings(lr=1e-3))
    peer = Peer(system, ours.state.theta, 1e-3, 1.0, (0.9, 0.98), 10)

    def peer_steps(n):
        for _ in range(n):
            peer.step()

    n_peer, n_ours = STEPS[name]
    peer_steps(n_peer)
    ours.advance(n_peer)
    mine, theirs = ours.loss(), peer.step().item()
    if abs(mine - theirs) > 1e-4 * theirs:
        raise RuntimeError(f"{name}: losses differ after {n_peer} steps: {mine} and {theirs}")
    times = [(seconds(peer_steps, n_peer), seconds(ours.advance, n_ours)) for _ in range(rounds)]
    peer_s, ours_s = np.array(times).T
    ratio = peer_s / ours_s
    return dict(
        case=name, parameters=CASES[name], n_train=len(system.train.targets), steps_checked=n_peer,
        loss_ours=mine, loss_peer=theirs, peer_ms=float(np.median(peer_s) * 1e3),
        ours_ms=float(np.median(ours_s) * 1e3), ratio=float(np.median(ratio)),
        ratio_low=float(ratio.min()), ratio_high=float(ratio.max()),
        floor=FLOOR[name], goal=GOAL[name],
    )  # fmt: skip


def main():
    """Measure every case, print the table, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="interleaved repetitions")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    rows = []
    print("case    PyTorch ms   ours ms   ratio (range)        floor  goal   loss ours / PyTorch")
    with single_threaded_blas():
        for name in CASES:
            r = measure(name, rounds)
            rows.append(r)
            print(
                f"{name:6s} {r['peer_ms']:10.2f} {r['ours_ms']:10.3f}   {r['ratio']:5.1f} "
                f"({r['ratio_low']:.1f}-{r['ratio_high']:.1f})   {r['floor']:8.0f} "
                f"{r['goal']:5.0f}   {r['loss_ours']:.6f} / {r['loss_peer']:.6f}",
                flush=True,
            )
    RESULT.parent.mkdir(exist_ok=True)
    versions = dict(python=platform.python_version(), numpy=np.__version__, torch=torch.__version__)
    result = dict(threads=1, processor=processor(), versions=versions, rounds=rounds, rows=rows)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
