"""Langevin steps of a two-layer network: compiled, and the same update in PyTorch.

    python benchmarks/bench_langevin.py

Both sides make Euler-Maruyama steps in float64 on one core.  The slopes of the energy must agree to
1e-10 before a ratio is printed; times are per step, noise included.
"""

import math

import numpy as np
import torch
from side_by_side import ratio, save, seconds

from phasegrok.networks.compiled.kernels import single_threaded_blas
from phasegrok.protocols.chains import Langevin
from phasegrok.systems.two_layer import Parameters

ROUNDS = 5
SHAPE = {"sigma2": 1.0, "sigma_a2": 0.2, "epsilon": -0.3}
CASES = {
    "all inputs, N = 88, d = 53": Parameters(d=53, N=88, n=1000, **SHAPE),
    "2000 patterns, N = 100, d = 20": Parameters(d=20, N=100, n=2000, inputs="drawn", **SHAPE),
}
FLOOR, GOAL = 5.0, 10.0


def energy_in_torch(system):
    """E/T of a latent, as a function that PyTorch differentiates."""
    N, d = system.N, system.d
    patterns = [torch.from_numpy(system.x), torch.from_numpy(system.y)] if hasattr(
        system, "x") else []

    def energy(xi):
        a, w = system.width_a * xi[:N], system.width_w * xi[N:].reshape(N, d)
        if patterns:
            x, y = patterns
            return ((torch.erf(x @ w.T) @ a - y) ** 2).sum() / (2.0 * system.kappa * len(y))
        gram = w @ w.T
        A = 1.0 + 2.0 * gram.diagonal()
        kernel = torch.asin(2.0 * gram / torch.sqrt(A[:, None] * A[None, :]))
        x = w[:, 0] / torch.sqrt(A)
        t = 2.0 / math.sqrt(math.pi) * (x - 2.0 * system.epsilon * x**3)
        loss = 2.0 / math.pi * (a @ kernel @ a) - 2.0 * (a @ t) + 1.0 + 6.0 * system.epsilon**2
        return loss / (2.0 * system.kappa)

    return energy


def torch_steps(energy, xi, h, n, generator):
    """n Euler-Maruyama steps, in place."""
    for _ in range(n):
        xi.requires_grad_(True)
        (slope,) = torch.autograd.grad(energy(xi), xi)
        with torch.no_grad():
            noise = torch.randn(xi.shape, dtype=xi.dtype, generator=generator)
            xi = xi - h * (xi + slope) + math.sqrt(2.0 * h) * noise
    return xi


def compare(name, p):
    """One row."""
    system = p.build(p.disorder(None))
    steps, h = 200, 1e-4
    protocol = Langevin(system, "euler-maruyama", h, 1.0, 1, 10**9, 10**9 - 1000, 1, 0.9, 2.5)
    state = protocol.init(1)
    xi = torch.from_numpy(state.xi[0].copy())
    energy = energy_in_torch(system)
    generator = torch.Generator().manual_seed(1)
    agreement = slope_difference(system, energy, state.xi[0])
    protocol.advance(state, 2)

    def peer():
        return seconds(torch_steps, energy, xi, h, steps, generator), steps

    def ours():
        return seconds(protocol.advance, state, steps), steps

    row = {"case": name, "agreement": agreement, "floor": FLOOR, "goal": GOAL}
    return row | ratio(peer, ours, ROUNDS)


def slope_difference(system, energy, xi):
    """Largest difference of the two slopes over the largest slope; refuse 1e-10."""
    from phasegrok.compiled import kernel
    from phasegrok.systems.continuous import gradient

    @kernel(cache=False)
    def slope_of(system, xi, work, out):
        return gradient(system, xi, work, out)

    out = np.empty_like(xi)
    slope_of(system, xi, np.empty(system.work_size), out)
    at = torch.from_numpy(xi.copy()).requires_grad_(True)
    (slope,) = torch.autograd.grad(energy(at), at)
    difference = float(np.abs(slope.numpy() - out).max() / np.abs(out).max())
    if difference > 1e-10:
        raise RuntimeError(f"the slopes differ by {difference:.1e}")
    return difference


def main():
    """Print the table and write benchmarks/results/langevin.json."""
    torch.set_num_threads(1)
    rows = []
    with single_threaded_blas():
        for name, p in CASES.items():
            row = compare(name, p)
            rows.append(row)
            print(f"{name:32s} PyTorch {row['peer_ns'] / 1e3:8.0f} us  ours "
                  f"{row['ours_ns'] / 1e3:8.0f} us  ratio {row['ratio']:.1f} "
                  f"({row['ratio_low']:.1f}-{row['ratio_high']:.1f})  slopes to "
                  f"{row['agreement']:.0e}", flush=True)
    save("langevin", ["torch"], ROUNDS, rows)


if __name__ == "__main__":
    main()
