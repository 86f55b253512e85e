"""Sums over sweeps of many replicas: moments, histograms of the energy, octaves of time."""

from phasegrok.compiled import kernel
from phasegrok.systems.discrete import energy_cell

MOMENTS = ("E", "E^2", "Phi", "|Phi|", "Phi^2", "Phi^4")
GROUPS = 8
"""Groups of replicas whose histograms are kept apart, for the jackknife of reweighting."""
LOG_BINS = 62  # sweeps are counted in 63 bits


@kernel(allocates=False)
def accumulate(system, order_unit, energy_rt, phi_rt, measure, first, moments, histogram,
                log_time):
    """Add a stretch of sweeps, the first of which is number ``first`` (from 1), to the sums.

    ``system`` None: there are no levels, and no histogram.

    Each sum is made from left to right, that of a histogram over replicas within sweeps: then it
    does not depend on how a run is cut into stretches.
    """
    n_replicas, n = energy_rt.shape
    n_groups = histogram.shape[0]
    octave = 0
    while first >> (octave + 1) > 0:
        octave += 1
    for r in range(n_replicas):
        j = octave
        for t in range(n):
            e = energy_rt[r, t]
            phi = phi_rt[r, t] / order_unit
            size = abs(phi)
            if (first + t) >> (j + 1) > 0:
                j += 1
            log_time[r, j, 0] += e
            log_time[r, j, 1] += size
            if measure:
                square = phi * phi
                moments[r, 0] += e
                moments[r, 1] += e * e
                moments[r, 2] += phi
                moments[r, 3] += size
                moments[r, 4] += square
                moments[r, 5] += square * square
        group = r * n_groups // n_replicas
        if system is not None and measure and (r + 1) * n_groups // n_replicas > group:
            # the last replica of the group: what the group has measured is still in the cache
            for t in range(n):
                for member in range(-(-group * n_replicas // n_groups), r + 1):
                    cell = energy_cell(system, energy_rt[member, t])
                    size = abs(phi_rt[member, t] / order_unit)
                    square = size * size
                    histogram[group, cell, 0] += 1.0
                    histogram[group, cell, 1] += size
                    histogram[group, cell, 2] += square
                    histogram[group, cell, 3] += square * square
