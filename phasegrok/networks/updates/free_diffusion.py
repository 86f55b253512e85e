"""The norm of weights that feel noise and decay but no loss: what noise alone would do to it."""

import numpy as np

from phasegrok.compiled import kernel
from phasegrok.networks.training.settings import Settings, rates, temperatures
from phasegrok.networks.updates.common import free_step, has
from phasegrok.networks.updates.table import row_of, update_of


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
        None where there is no noise, where the norm is fixed, or for an update without
        ``free_step``: where the decay passes through the preconditioner of Adam, or steps are
        rejected.
    """
    noisy = settings.temperature > 0.0 or settings.final_temperature > 0.0
    if not noisy or settings.fixed_norm or settings.filter != "none":
        return None
    update = update_of(settings)
    if settings.optimiser == "adam" and settings.weight_decay == 0.0:
        update = update_of(settings.model_copy(update={"optimiser": "adamw"}))  # the same then
    if not has(free_step, update):
        return None
    moving = row_of(settings).velocities
    square = np.asarray(norm, dtype=float) ** 2 / n_parameters
    start = np.array([0.0, 0.0, settings.temperature if moving else 0.0])
    k = np.arange(grid[-1])
    kept, added = _moments(update, rates(settings, k), temperatures(settings, k), start,
                           np.asarray(grid))
    return np.sqrt(n_parameters * (square[:, None] * kept + added))


@kernel
def _moments(update, lr, T, start, grid):
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
        xx, xu, ux, uu, n_x, n_u = free_step(update, lr[k], T[k], k)
        for m, noise in ((a, 0.0), (b, 1.0)):
            p, q, r = m[0], m[1], m[2]
            m[0] = xx * xx * p + 2.0 * xx * xu * q + xu * xu * r + noise * n_x * n_x
            m[1] = xx * ux * p + (xx * uu + xu * ux) * q + xu * uu * r + noise * n_x * n_u
            m[2] = ux * ux * p + 2.0 * ux * uu * q + uu * uu * r + noise * n_u * n_u
    return kept, added
