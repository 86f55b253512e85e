r"""Barriers between two phases against size, from densities of states.

At a first-order transition the two phases are divided by a barrier that grows as the area of an
interface, :math:`\Delta F = 2\sigma L^{d-1} + \ldots` [1]_; what that says of the order is judged
in :mod:`phasegrok.thermodynamics.order`.

References
----------
.. [1] J. Lee, J. M. Kosterlitz, Phys. Rev. Lett. 65 (1990) 137.
"""

import math
from dataclasses import dataclass

import numpy as np

from phasegrok.thermodynamics.effective_potential import (
    Coexistence,
    coexistence,
    effective_potential_with_errors,
    potentials_left_out,
    resolution_of,
    wells,
)


def energy_columns(energies_E: np.ndarray, log_g_E: np.ndarray, width: float
                   ) -> tuple[np.ndarray, np.ndarray]:
    """A density of states g(E) as a joint one whose second coordinate is E in bins.

    In an ordered phase of discrete spins most excitations are single sites, and P(E) has teeth at
    multiples of the energy of one: a property of the lattice, not of two phases.  Sums over bins of
    that width are free of them, and leave the peaks as they are, which are sqrt(N) times wider.

    Parameters
    ----------
    energies_E, log_g_E : array_like, shape (E,)
        Energies of the whole system and ln g; NaN where unvisited.
    width : float
        Energy; 0: every level is a column.

    Returns
    -------
    energy_b : ndarray, shape (B,)
        Energies of the columns: the mean of the levels in each.
    log_g_Eb : ndarray, shape (E, B)
        NaN but for one column in each row, for `effective_potential` and `coexistence`.
    """
    energies_E = np.asarray(energies_E, dtype=float)
    column = np.arange(energies_E.size)
    if width > 0.0:  # the half level keeps levels at the edges of bins where they belong
        step = np.diff(energies_E).min()
        column = ((energies_E - energies_E[0] + step / 2.0) // width).astype(np.int64)
    _, column = np.unique(column, return_inverse=True)
    energy_b = np.bincount(column, energies_E) / np.bincount(column)
    log_g_Eb = np.full((energies_E.size, energy_b.size), np.nan)
    log_g_Eb[np.arange(energies_E.size), column] = log_g_E
    return energy_b, log_g_Eb


@dataclass(frozen=True)
class SizeBarrier:
    """The barrier between two phases of one size, at the temperature where they are equally likely.

    Attributes
    ----------
    coexistence : Coexistence
        With the temperature of equal heights and the barrier, or the reason why there is none.
    height, error : float
        Barrier of the whole system in nats.  Where there is one well, 0 with the median error of
        the potential; NaN where nothing can be said.
    potential_b, potential_err_b : ndarray
        F = -ln P of the columns at that temperature; with one well, in the middle of the range.
    resolution : float
        Nats below which a second well is noise: three median errors.
    """

    coexistence: Coexistence
    height: float
    error: float
    potential_b: np.ndarray
    potential_err_b: np.ndarray
    resolution: float


def size_barrier(energies_E: np.ndarray, phi_b: np.ndarray, log_g_Eb: np.ndarray,
                 log_g_jackknife_wEb: np.ndarray, bracket: tuple[float, float]) -> SizeBarrier:
    """Barrier at equal heights of the two peaks of P, after Lee and Kosterlitz [1]_.

    Parameters
    ----------
    energies_E : array_like, shape (E,)
    phi_b : array_like, shape (B,)
        The coordinate of P: E in bins (`energy_columns`), or the order parameter.
    log_g_Eb : array_like, shape (E, B)
    log_g_jackknife_wEb : array_like, shape (W, E, B)
        With walker w left out.
    bracket : (float, float)
        Temperatures between which coexistence is sought.
    """
    middle = 0.5 * (bracket[0] + bracket[1])
    columns = (energies_E, log_g_Eb, log_g_jackknife_wEb)
    V, V_err = effective_potential_with_errors(*columns, middle)
    resolution = resolution_of(V, V_err)
    found = coexistence(energies_E, phi_b, log_g_Eb, bracket, resolution, log_g_jackknife_wEb)
    if found.found:  # the errors that count are those where the wells are
        T = found.temperature_equal_height
        V, V_err = effective_potential_with_errors(*columns, T)
        resolution = resolution_of(V, V_err)
        return SizeBarrier(found, found.barrier, found.barrier_err, V, V_err, resolution)
    V_w = potentials_left_out(energies_E, log_g_jackknife_wEb, middle)
    one_well = len(wells(phi_b, V, resolution, V_w)) == 1
    height = 0.0 if one_well and resolution > 0.0 else math.nan
    return SizeBarrier(found, height, resolution / 3.0 if one_well else math.nan, V, V_err,
                       resolution)
