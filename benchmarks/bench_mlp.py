"""Time of one full-batch training step of perceptrons against plain PyTorch, on one core.

    python benchmarks/bench_mlp.py [--rounds 9]

The systems and optimisers are those of cards.  Both sides start from the same weights and take ten
steps; their losses must then agree to 1e-5 before a ratio is printed.  The two are timed in turn,
round by round, in one process; the ratio is the median over the rounds, its range is printed beside
it.  Evaluations are switched off on both sides.  Writes benchmarks/results/mlp.json.
"""

import argparse

import torch
from mlp_peer import Peer
from side_by_side import Run, ratio, save, seconds

from phasegrok import cards
from phasegrok.networks.compiled.kernels import single_threaded_blas
from phasegrok.studies.training import training

CASES = {  # card -> steps of a round of the peer, and of ours
    "mlp-addition-97": (8, 20),
    "mlp-subtraction-31": (200, 800),
    "student-training": (200, 800),
    "committee-square": (40, 100),
}


def optimiser_of(settings):
    """The same optimiser of ``torch.optim``."""
    s = settings
    if s.optimiser == "sgd":
        return lambda theta: torch.optim.SGD(theta, lr=s.learning_rate, momentum=s.momentum,
                                             weight_decay=s.weight_decay)
    return lambda theta: torch.optim.AdamW(theta, lr=s.learning_rate, betas=(s.beta_1, s.beta_2),
                                           eps=s.epsilon, weight_decay=s.weight_decay)


def measure(name, tables, rounds):
    """Times of both sides; raises where their losses differ."""
    protocol = training(cards.load(name))
    system, settings = protocol.system, protocol.settings.model_copy(update=dict(warmup=0))
    ours = Run(system, settings)
    peer = Peer(system, ours.state.theta, tables, optimiser_of(settings))
    for _ in range(10):
        peer.step()
    ours.advance(10)
    mine, theirs = ours.loss(), peer.step()
    ours.advance(1)
    if abs(mine - theirs) > 1e-5 * theirs:
        raise RuntimeError(f"{name}: losses after 10 steps are {mine} and {theirs}")
    n_peer, n_ours = CASES[name]

    def peer_steps():
        for _ in range(n_peer):
            peer.step()

    found = ratio(lambda: (seconds(peer_steps), n_peer),
                  lambda: (seconds(ours.advance, n_ours), n_ours), rounds)
    first = ("tables" if tables else "one-hot") if system.structure.tables else "dense"
    return dict(
        case=name, inputs=first, units=system.structure.units, n_train=len(system.train.targets),
        optimiser=settings.optimiser, loss_ours=mine, loss_peer=theirs,
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
    print(f"{'case':20s} {'peer':8s} PyTorch ms   ours ms   ratio (range)      losses")
    with single_threaded_blas():
        for name in CASES:
            for tables in (False, True) if name.startswith("mlp") else (False,):
                r = measure(name, tables, rounds)
                rows.append(r)
                print(f"{name:20s} {r['inputs']:8s} {r['peer_ms']:10.3f} {r['ours_ms']:9.4f}   "
                      f"{r['ratio']:5.2f} ({r['ratio_low']:.2f}-{r['ratio_high']:.2f})   "
                      f"{r['loss_ours']:.6g} / {r['loss_peer']:.6g}", flush=True)  # fmt: skip
    save("mlp", ("torch", "scipy"), rounds, rows)


if __name__ == "__main__":
    main()
