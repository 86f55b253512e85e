"""The norm of weights that feel noise and decay but no loss: what noise alone would do to it."""

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.networks.training.settings import Settings, constants_of, temperature_at
from phasegrok.networks.updates.table import VELOCITIES


def free_norm(settings: Settings, n_parameters: int, norm: np.ndarray,
              grid: np.ndarray) -> np.ndarray | None:
    """Root mean square norm of the weights without the force of the loss.

    A step is linear in the weight x and the velocity (or momentum) u of each component then, and
    the second moments follow exactly from those of the step before.  For velocities and without
    decay, at times t that are long against 1/c_f,

        |w_t|^2 = |w_0|^2 + N h^2 T (2 - c_f)/c_f t,

    h the step, c_f the friction, N the number of weights; for AdamW and SGD without momentum
    |w_t|^2 = |w_0|^2 + 2 N lr T t.

    Parameters
    ----------
    settings : Settings
    n_parameters : int
        N.
    norm : (R,) array
        |w_0| of each replica.
    grid : (K,) int64 array
        Steps, ascending.

    Returns
    -------
    free : (R, K) array, or None
        None where there is no noise, where the norm is fixed, where the decay passes through the
        preconditioner of Adam, where steps are rejected, or for an update that is not known here.
    """
    optimiser = settings.optimiser
    memory = {"adamw": 0.0, "adam": 0.0, "sgd": settings.momentum, "baoab": 0.0, "wand": 0.0}
    noisy = settings.temperature > 0.0 or settings.final_temperature > 0.0
    if not noisy or settings.fixed_norm or settings.filter != "none" or (
            optimiser not in memory or (optimiser == "adam" and settings.weight_decay > 0.0)):
        return None
    moving = optimiser in VELOCITIES
    square = np.asarray(norm, dtype=float) ** 2 / n_parameters
    start = np.array([0.0, 0.0, settings.temperature if moving else 0.0])
    kept, added = _moments(constants_of(settings), moving, optimiser == "adamw",
                           memory[optimiser], start, np.asarray(grid))
    return np.sqrt(n_parameters * (square[:, None] * kept + added))


@kernel
def _moments(c, moving, decoupled, memory, start, grid):
    """Factor of the first <x^2>, and what noise adds to it, at the steps of ``grid``.

    ``a`` holds <x^2>, <x u>, <u^2> from <x^2> = 1 without noise, ``b`` the same from 0 with it.
    """
    kept, added = np.empty(len(grid)), np.empty(len(grid))
    a, b = np.array([1.0, 0.0, 0.0]), start.copy()
    row = 0
    for k in range(grid[-1] + 1):
        if k == grid[row]:
            kept[row], added[row] = a[0], b[0]
            row += 1
            if row == len(grid):
                break
        h = c.lr * (min(1.0, (k + 1.0) / c.warmup) if c.warmup else 1.0)
        T = temperature_at(c, k)
        if moving:  # kick, half a step, Ornstein-Uhlenbeck, half a step
            f = 1.0 - c.friction
            kick = h * c.wd * (0.5 if k == 0 else 1.0)
            # x' = x + (h/2)(1 + f)(u - kick x) + noise h/2;  u' = f (u - kick x) + noise
            xx, xu = 1.0 - 0.5 * h * (1.0 + f) * kick, 0.5 * h * (1.0 + f)
            ux, uu = -f * kick, f
            n_u = np.sqrt(T * (1.0 - f * f))
            n_x = 0.5 * h * n_u
        elif decoupled:
            xx, xu, ux, uu = 1.0 - h * c.wd, 0.0, 0.0, 0.0
            n_x, n_u = np.sqrt(2.0 * h * T), 0.0
        else:  # u' = memory u + wd x;  x' = x - h u' + noise
            xx, xu, ux, uu = 1.0 - h * c.wd, -h * memory, c.wd, memory
            n_x, n_u = np.sqrt(2.0 * h * T), 0.0
        for m, noise in ((a, 0.0), (b, 1.0)):
            p, q, r = m[0], m[1], m[2]
            m[0] = xx * xx * p + 2.0 * xx * xu * q + xu * xu * r + noise * n_x * n_x
            m[1] = xx * ux * p + (xx * uu + xu * ux) * q + xu * uu * r + noise * n_x * n_u
            m[2] = ux * ux * p + 2.0 * ux * uu * q + uu * uu * r + noise * n_u * n_u
    return kept, added
