"""GHMC steps of quadratic networks on a sphere, a second and in gradients: one core.

    python benchmarks/bench_landscape.py [--rounds 9]

A step of a chain (refreshed velocities, kicks, rotation, gradient, Metropolis test; no records) and
the gradient alone are timed in turn, round by round, in one process; the ratio is the median over
the rounds, its range is printed beside it.  |theta| is 5.5 times that at the start, T = 1e-3, half
of the pairs are learned, float32.  Writes benchmarks/results/landscape.json.
"""

import argparse

from side_by_side import ratio, save, seconds

from phasegrok.networks import engine
from phasegrok.networks.compiled.kernels import single_threaded_blas
from phasegrok.networks.landscape import Landscape
from phasegrok.networks.measures import measure_of
from phasegrok.networks.models.mlp import Parameters
from phasegrok.protocols.chains import Langevin

NETWORKS = {17: 40, 31: 64}  # p: hidden units
MEASURES = ("sphere", "box")
STEPS = 2000
FOREVER = 10**9


def measure(p, name, rounds):
    """Time of a step over that of its gradient."""
    card = Parameters(operation="-", p=p, hidden=[NETWORKS[p]], train_fraction=0.5)
    network = card.build(card.disorder(None))
    landscape = Landscape(network, measure_of(name, 5.5, network), 1e-3)
    chain = Langevin(landscape, "ghmc", 0.02, 1.0, 1, FOREVER, FOREVER, 1, None, 1.0)
    state = chain.init(1)
    theta = network.initial(state.rng[0].copy())
    w, g = network.matrices(theta), network.matrices(0.0 * theta)
    train, work = engine.data(network, *network.train), engine.workspace(network)

    def gradients():
        for _ in range(STEPS):
            engine.energy_and_gradient(w, g, train, work)

    gradients()
    chain.advance(state, STEPS)
    found = ratio(lambda: (seconds(chain.advance, state, STEPS), STEPS),
                  lambda: (seconds(gradients), STEPS), rounds)
    return dict(p=p, hidden=NETWORKS[p], measure=name, steps_a_second=1e9 / found["peer_ns"],
                gradient_us=found["ours_ns"] / 1e3, step_us=found["peer_ns"] / 1e3,
                **{key: found[key] for key in ("ratio", "ratio_low", "ratio_high")})


def main():
    """Measure every network, print the table, write the result file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="interleaved repetitions")
    rounds = parser.parse_args().rounds
    rows = []
    print("  p  hidden  measure   gradient us   step us   steps/s   step over gradient (range)")
    with single_threaded_blas():
        for p in NETWORKS:
            for name in MEASURES:
                r = measure(p, name, rounds)
                rows.append(r)
                print(f"{p:3d} {r['hidden']:7d}  {name:9s} {r['gradient_us']:11.1f} "
                      f"{r['step_us']:9.1f} {r['steps_a_second']:9.0f}   {r['ratio']:5.3f} "
                      f"({r['ratio_low']:.3f}-{r['ratio_high']:.3f})", flush=True)
    save("landscape", ("scipy",), rounds, rows)


if __name__ == "__main__":
    main()
