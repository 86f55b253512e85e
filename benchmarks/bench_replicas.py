"""Replicas stacked on one device against a loop of single plain PyTorch runs on the same device.

    python benchmarks/bench_replicas.py [--device cuda] [--rounds 7]

Counts steps of a replica per second, full batch in float32 without evaluations: of the stacked
engine, transfers of the state included, and of a plain training loop, which would run one replica
after the other.  Both start from the same weights, and after ten steps the losses of the first and
the last replica must agree to 1e-4 before a ratio is printed.  The two are timed in turn, round by
round; the ratio is the median over the rounds, its range is printed beside it.  On a GPU the times
are those of CUDA events, and the ratio has a floor.  On a CPU everything runs on one core, there is
no floor, and the compiled engine, which is the one to use there, is timed as well.  Writes
benchmarks/results/replicas-DEVICE.json.
"""

import argparse

import torch
from bench_transformer import CASES
from side_by_side import NEVER, processor, ratio, save, seconds
from transformer_peer import Peer

from phasegrok import compiled
from phasegrok.networks.compiled.kernels import single_threaded_blas
from phasegrok.networks.models.transformer import Parameters
from phasegrok.networks.training.settings import Settings
from phasegrok.protocols.training import Training

REPLICAS = {"cuda": {"p 31": (1, 16, 64, 256), "p 113": (1, 8, 32, 128)},
            "cpu": {"p 31": (1, 4, 16), "p 113": (1, 2, 4)}}
STEPS = {"cuda": {"p 31": 200, "p 113": 50}, "cpu": {"p 31": 10, "p 113": 2}}  # of a round
CHECKED = 10  # steps before losses are compared
FLOOR = {"cuda": 10.0, "cpu": None}


def training(system, replicas, **given):
    """A protocol far from its end, evaluated at its start alone."""
    return Training(system, Settings(eval_every=NEVER, **given), replicas, NEVER)


def timed(device, advance, n):
    """Seconds of ``advance(n)``, by CUDA events on a GPU."""
    if device == "cpu":
        return seconds(advance, n)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    advance(n)
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


def same_losses(name, system, state, device, where):
    """Losses after some steps of the first and last replica, ours and the peer's; refuse others."""
    settings = Settings(eval_every=CHECKED, **where)
    protocol = Training(system, settings, len(state.theta), CHECKED)
    mine = protocol.init(1)
    protocol.advance(mine, CHECKED)
    pairs = []
    for r in {0, len(state.theta) - 1}:
        peer = Peer(system, state.theta[r], 1e-3, 1.0, (0.9, 0.98), 10, device)
        for _ in range(CHECKED):
            peer.step()
        ours, theirs = float(mine.train_loss[r, -1]), peer.step().item()
        if abs(ours - theirs) > 1e-4 * theirs:
            raise RuntimeError(f"{name}, replica {r}: losses after {CHECKED} steps are {ours} and "
                               f"{theirs}")
        pairs.append((ours, theirs))
    return pairs


def measure(name, replicas, device, rounds):
    """Times of both sides; raises where their losses differ."""
    system = Parameters(operation="-", **CASES[name]).build()
    where = dict(engine="torch", device=device)
    protocol = training(system, replicas, **where)
    state = protocol.init(1)
    losses = same_losses(name, system, state, device, where)
    peer = Peer(system, state.theta[0], 1e-3, 1.0, (0.9, 0.98), 10, device)
    n = STEPS[device][name]

    def peer_steps(n):
        for _ in range(n):
            peer.step()

    def ours(n):
        protocol.advance(state, n)

    peer_steps(CHECKED)
    ours(CHECKED)
    found = ratio(lambda: (timed(device, peer_steps, n), n),
                  lambda: (timed(device, ours, n), n * replicas), rounds)
    row = dict(case=name, replicas=replicas, stacked=protocol.stacked.size, losses=losses,
               parameters=CASES[name], floor=FLOOR[device],
               peer_per_second=1e9 / found["peer_ns"], ours_per_second=1e9 / found["ours_ns"],
               **{key: found[key] for key in ("ratio", "ratio_low", "ratio_high")})
    if device == "cpu":
        row["compiled_per_second"] = compiled_rate(system, replicas, n, rounds)
    return row


def compiled_rate(system, replicas, n, rounds):
    """Steps of a replica per second with the compiled engine."""
    protocol = training(system, replicas)
    state = protocol.init(1)
    protocol.advance(state, CHECKED)
    with single_threaded_blas():
        times = sorted(seconds(protocol.advance, state, n) for _ in range(rounds))
    return n * replicas / times[len(times) // 2]


def main():
    """Measure every case, print the table, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    has_gpu = torch.cuda.is_available()
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cuda" if has_gpu else "cpu")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved repetitions")
    options = parser.parse_args()
    device = options.device
    name = torch.cuda.get_device_name() if device == "cuda" else f"{processor()}, one core"
    floor = f"floor {FLOOR[device]:g}" if FLOOR[device] else "no floor on a CPU"
    print(f"{name}; {floor}\nsteps of a replica per second:")
    print("case   replicas (at once)   plain loop     stacked   ratio (range)      compiled")
    torch.set_num_threads(1)
    compiled.use_threads(1)
    rows = []
    for case, numbers in REPLICAS[device].items():
        for replicas in numbers:
            r = measure(case, replicas, device, options.rounds)
            rows.append(r)
            kernels = f"{r['compiled_per_second']:9.0f}" if "compiled_per_second" in r else ""
            print(f"{case:6s} {replicas:8d} ({r['stacked']:d}){r['peer_per_second']:20.0f} "
                  f"{r['ours_per_second']:11.0f}   {r['ratio']:5.2f} ({r['ratio_low']:.2f}-"
                  f"{r['ratio_high']:.2f})  {kernels}", flush=True)
    save(f"replicas-{device}", ("torch",), options.rounds, rows, device=name)


if __name__ == "__main__":
    main()
