"""Time of one minibatch step of the two-layer decoder against plain PyTorch, on one core.

    python benchmarks/bench_decoder.py [--rounds 9]

Both sides start from the same weights and take the same ten minibatches; the losses of all training
pairs must then agree to 1e-5 before a ratio is printed.  The two are timed in turn, round by round,
in one process; the ratio is the median over the rounds, its range is printed beside it.  The
training set is cut to whole minibatches, and evaluations are switched off on both sides.  Writes
benchmarks/results/decoder.json.
"""

import argparse
import dataclasses

import torch
from decoder_peer import HeadsApart, HeadsTogether, Peer
from side_by_side import Run, ratio, save, seconds

from phasegrok.networks.compiled.kernels import single_threaded_blas
from phasegrok.networks.models.decoder import Parameters
from phasegrok.networks.network import Data
from phasegrok.networks.training.settings import Settings

SIZES = {
    "p 97": (dict(operation="/", p=97, train_fraction=0.5, d_model=128, heads=4, mlp=512), 512),
    "p 31": (dict(operation="-", p=31, train_fraction=0.7, d_model=48, heads=4, mlp=192), 336),
}
STEPS = {"p 97": 9, "p 31": 40}  # of a round
PEERS = {"heads apart": HeadsApart, "heads together": HeadsTogether}
FLOOR, GOAL = 4.0, 10.0


def measure(size, name, rounds):
    """Times of both sides; raises where their losses differ."""
    parameters, batch = SIZES[size]
    system = Parameters(**parameters).build()
    n = len(system.train.targets) // batch * batch
    system = dataclasses.replace(system, train=Data(*(x[:n] for x in system.train)))
    ours = Run(system, Settings(lr=1e-3, batch=batch))
    peer = Peer(PEERS[name], system, ours.state.theta, 1e-3, 1.0, (0.9, 0.98), 10)
    for _ in range(10):
        ours.advance(1)
        peer.step(ours.chosen())
    with torch.no_grad():
        theirs = peer.loss(torch.arange(len(system.train.targets))).item()
    mine = ours.loss()
    if abs(mine - theirs) > 1e-5 * theirs:
        raise RuntimeError(f"{size}, {name}: losses after 10 steps are {mine} and {theirs}")

    chosen, steps = ours.chosen(), STEPS[size]

    def peer_steps():
        for _ in range(steps):
            peer.step(chosen)

    found = ratio(
        lambda: (seconds(peer_steps), steps), lambda: (seconds(ours.advance, steps), steps), rounds
    )
    return dict(
        case=f"{size}, batch {batch}, {name}", parameters=parameters, batch=batch, peer=name,
        n_train=len(system.train.targets), loss_ours=mine, loss_peer=theirs, floor=FLOOR, goal=GOAL,
        peer_ms=found["peer_ns"] / 1e6, ours_ms=found["ours_ns"] / 1e6,
        **{key: found[key] for key in ("ratio", "ratio_low", "ratio_high")},
    )  # fmt: skip


def main():
    """Measure every case, print the table, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="interleaved repetitions")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    rows = []
    print(f"{'case':32s} PyTorch ms   ours ms   ratio (range)      floor  goal   losses")
    with single_threaded_blas():
        for size in SIZES:
            for name in PEERS:
                r = measure(size, name, rounds)
                rows.append(r)
                print(f"{r['case']:32s} {r['peer_ms']:10.2f} {r['ours_ms']:9.3f}   "
                      f"{r['ratio']:5.2f} ({r['ratio_low']:.2f}-{r['ratio_high']:.2f}) "
                      f"{FLOOR:8.0f} {GOAL:5.0f}   {r['loss_ours']:.6f} / {r['loss_peer']:.6f}",
                      flush=True)  # fmt: skip
    save("decoder", ("torch", "scipy"), rounds, rows)


if __name__ == "__main__":
    main()
