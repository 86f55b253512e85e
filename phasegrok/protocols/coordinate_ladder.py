r"""Density of states of plain coordinates, from a ladder of temperatures with replica exchange.

.. math:: g(E)\,dE = \int dx\,\delta(E - E(x))\,dE

is known up to a factor, and over the energies that are typical between the coldest and the hottest
rung.  Replicas at each rung move by Langevin dynamics and are exchanged
(:mod:`phasegrok.protocols.canonical`); the histograms of all rungs, in bins of energy, give ln g by
the multi-histogram equations (Ferrenberg and Swendsen, Phys. Rev. Lett. 63 (1989) 1195).  Eight
groups of ladders are independent of one another: errors are their jackknife.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

import numpy as np

from phasegrok.dynamics.sums import GROUPS
from phasegrok.groups import Group
from phasegrok.protocols.canonical import Canonical, State
from phasegrok.statistics import jackknife_error
from phasegrok.systems.discrete import behaviour
from phasegrok.systems.hamiltonian import evaluated
from phasegrok.thermodynamics.density_of_states import combine_walkers

_BINS_A_SPREAD = 8  # of the energy at the coldest rung
_SPREADS = 10.0  # above equipartition at the hottest rung, over an ordered state, beyond which
# energies are left out
_MOST_BINS = 20_000
_FEWEST_ROUND_TRIPS = 3
_MOST_BEYOND = 1e-3  # of the visits, in bins at the ends that not all ladders reach


class Bins(NamedTuple):
    """Bins of energy from ``start`` on; the last is for all that lies beyond or below."""

    start: float
    width: float
    number: int


@behaviour(Bins)
def energy_cell(system, energy):
    place = (energy - system.start) / system.width
    return int(place) if 0.0 <= place < system.number - 1.0 else system.number - 1


@dataclasses.dataclass(frozen=True)
class CoordinateLadder(Canonical):
    """Protocol: ln g(E) of plain coordinates, and averages at every rung.

    Parameters as in :class:`phasegrok.protocols.canonical.Canonical`; the system has ``lowest``, an
    energy below which none is.

    Parameters
    ----------
    width : float
        Of the bins; 0: an eighth of the spread sqrt(n/2) T of a harmonic system at the coldest.

    Raises
    ------
    ValueError
        If the system does not say its lowest energy, or bins or replicas are too many or too few.
    """

    width: float = 0.0

    def __post_init__(self):
        if not hasattr(self.system, "lowest"):
            raise ValueError("energies are counted in bins from an energy on below which none is: "
                             "the system does not say it, as its `lowest`")
        if self.replicas < GROUPS or len(self.temperatures) < 2:
            raise ValueError(f"a ladder has {GROUPS} replicas or more at each of two temperatures "
                             "or more")
        if self._bins.number > _MOST_BINS:
            raise ValueError(f"more than {_MOST_BINS} bins of width {self._bins.width:g}: give a "
                             "larger density_of_states.bin_width, or a narrower range of T")

    @functools.cached_property
    def _bins(self) -> Bins:
        cold, hot, n = min(self.temperatures), max(self.temperatures), self.system.n_coordinates
        width = self.width or math.sqrt(0.5 * n) * cold / _BINS_A_SPREAD
        lowest = float(self.system.lowest)  # of which some systems know but a bound
        ordered = self.system.configuration(1.0, np.random.default_rng(0))
        floor = max(lowest, float(evaluated(self.system, np.array(ordered, float), np.empty(n))))
        top = floor + n * hot + _SPREADS * math.sqrt(0.5 * n) * hot
        return Bins(lowest, width, math.ceil((top - lowest) / width) + 1)

    def _n_levels(self) -> int:
        return self._bins.number

    def _cells(self, state: State) -> Bins | None:
        return self._bins if state.histogram.shape[2] else None

    def result(self, state: State) -> dict[str, Group]:
        """Groups of canonical sampling, and ``density_of_states``."""
        groups = super().result(state)
        if "averages" in groups:
            groups["density_of_states"] = self._density(state, groups)
        return groups

    def _density(self, state: State, groups: dict[str, Group]) -> Group:
        bins, rungs = self._bins, len(state.temperatures)
        visits_gkc = state.histogram[..., 0].transpose(1, 0, 2)
        kept = self._kept(visits_gkc)
        energy = bins.start + bins.width * (kept + 0.5)
        problem, log_g, rows = "", np.full(len(kept), np.nan), np.full((GROUPS, len(kept)), np.nan)
        try:
            log_g, rows = combine_walkers(
                visits_gkc[:, :, kept].reshape(GROUPS * rungs, -1).astype(np.int64),
                np.tile(energy / state.temperatures[:, None], (GROUPS, 1)), 0.0,
                np.repeat(np.arange(GROUPS), rungs))
        except (ArithmeticError, ValueError) as error:  # as rungs with no bin in common
            problem = str(error)
        group = Group()
        group.add("energy", energy, "energy", "energy", "energy of the whole system, bin centre")
        group.add("walker", np.arange(GROUPS), "walker", "1", "group of independent ladders")
        group.add("log_g", log_g, "energy", "nat", "ln of the volume of states in the bin, up to a "
                  "constant: the bins listed sum to 1")
        group.add("log_g_err", jackknife_error(rows), "energy", "nat",
                  "standard error of log_g: jackknife over groups of ladders")
        group.add("log_g_jackknife", rows, ("walker", "energy"), "nat",
                  "log_g with one group left out")
        group.add("visits", visits_gkc.sum(axis=(0, 1))[kept].astype(np.int64), "energy", "1",
                  "steps that ended in the bin, of all replicas")
        group.attributes.update(self._evidence(state, groups, kept, visits_gkc, problem))
        return group

    def _kept(self, visits_gkc: np.ndarray) -> np.ndarray:
        """Of the stretches of bins that every group of ladders saw, that with the most visits."""
        inside = np.all(visits_gkc[..., :-1].sum(axis=1) > 0, axis=0)
        cells = np.flatnonzero(inside)
        stretches = np.split(cells, np.flatnonzero(np.diff(cells) > 1) + 1)
        return max(stretches, key=lambda some: visits_gkc[..., some].sum())

    def _evidence(self, state: State, groups: dict[str, Group], kept: np.ndarray,
                  visits_gkc: np.ndarray, problem: str) -> dict:
        trips = float(state.round_trips.mean())
        why = [problem] if problem else []
        evidence = groups["averages"].attributes
        if not evidence["converged"]:
            why.append(str(evidence["converged_reason"]))
        if self.exchange and trips < _FEWEST_ROUND_TRIPS:
            why.append(f"a ladder made {trips:.2g} round trips on average, at least "
                       f"{_FEWEST_ROUND_TRIPS} are wanted")
        beyond = 1.0 - float(visits_gkc[..., kept].sum() / max(visits_gkc.sum(), 1.0))
        if beyond > _MOST_BEYOND:
            why.append(f"{beyond:.2g} of the visits are outside of the bins that every group of "
                       "ladders saw: at the ends, in a gap, or below the `lowest` energy of the "
                       "system")
        believe = ("believe it: ordered and random starts agree at every temperature, every group "
                   "of ladders saw every bin")
        if self.exchange:
            believe += f", a ladder made {trips:.2g} round trips on average"
        return {
            "complete": not why,
            "complete_reason": "do not believe it: " + "; ".join(why) if why else believe,
            "method": "replica-exchange",
            "measure": "volume of coordinates, up to a factor, between the energies of the rungs",
            "log_n_states": 0.0,
            "sweeps": state.sweeps,
            "equilibration_sweeps": self._equilibration(),
            "walkers": GROUPS,
            "replicas": self.replicas,
            "rungs": len(state.temperatures),
            "estimator": "visits",
            "beyond": beyond,
            "bin_width": self._bins.width,
        }
