r"""Density of states of plain coordinates, from a ladder of temperatures with replica exchange.

.. math:: g(E)\,dE = \int dx\,\delta(E - E(x))\,dE

is known up to a factor, and over the energies that are typical between the coldest and the hottest
rung.  Replicas at each rung move by Langevin dynamics and are exchanged
(:mod:`phasegrok.protocols.canonical`); the histograms of all rungs, in bins of energy, give ln g by
the multi-histogram equations (Ferrenberg and Swendsen, Phys. Rev. Lett. 63 (1989) 1195).  Eight
groups of ladders are independent of one another: errors are their jackknife.

At a fixed energy all rungs draw from the same states.  So with bins of the order parameter,

.. math:: g(E, \Phi) = g(E)\, P(\Phi \mid E) ,

where the share :math:`P(\Phi \mid E)` is that of the visits of all rungs together.  The bins reach
over what was seen of Phi before measuring.
"""

import dataclasses
import functools
import math
from typing import Any, NamedTuple

import numpy as np

from phasegrok.dynamics.sums import GROUPS
from phasegrok.groups import Group
from phasegrok.protocols import canonical
from phasegrok.protocols.canonical import Canonical
from phasegrok.statistics import jackknife_error
from phasegrok.systems.discrete import behaviour
from phasegrok.systems.hamiltonian import degrees_of_freedom, evaluated
from phasegrok.thermodynamics.density_of_states import combine_walkers

_BINS_A_SPREAD = 8  # of the energy at the coldest rung
_SPREADS = 10.0  # above equipartition at the hottest rung, over an ordered state, beyond which
# energies are left out
_MOST_BINS = 20_000
_FEWEST_ROUND_TRIPS = 3
_COLUMNS = 60  # bins of the order parameter
_MOST_CELLS = 500_000
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


@dataclasses.dataclass
class State(canonical.State):
    """The state of canonical sampling, and visits of (E, Phi) where they are counted."""

    seen: np.ndarray  # (2,): lowest and highest intensive Phi at the start and before measuring
    joint: np.ndarray  # int64 (GROUPS, bins of E, bins of Phi)


@dataclasses.dataclass(frozen=True)
class CoordinateLadder(Canonical):
    """Protocol: ln g(E) of plain coordinates, and averages at every rung.

    Parameters as in :class:`phasegrok.protocols.canonical.Canonical`; the system has ``lowest``, an
    energy below which none is.

    Parameters
    ----------
    width : float
        Of the bins; 0: an eighth of the spread sqrt(n/2) T of a harmonic system at the coldest, of
        n degrees of freedom.
    joint : bool
        Also ln g(E, Phi), in 60 bins of Phi.

    Raises
    ------
    ValueError
        If the system does not say its lowest energy, or bins or replicas are too many or too few.
    """

    width: float = 0.0
    joint: bool = False

    def __post_init__(self):
        if not hasattr(self.system, "lowest"):
            raise ValueError("energies are counted in bins from an energy on below which none is: "
                             "the system does not say it, as its `lowest`")
        if self.replicas < GROUPS or len(self.temperatures) < 2:
            raise ValueError(f"a ladder has {GROUPS} replicas or more at each of two temperatures "
                             "or more")
        most = _MOST_CELLS // _COLUMNS if self.joint else _MOST_BINS
        if self._bins.number > most:
            raise ValueError(f"more than {most} bins of energy of width {self._bins.width:g}: give "
                             "a larger density_of_states.bin_width, or a narrower range of T")

    @functools.cached_property
    def _bins(self) -> Bins:
        cold, hot = min(self.temperatures), max(self.temperatures)
        n = degrees_of_freedom(self.system)
        width = self.width or math.sqrt(0.5 * n) * cold / _BINS_A_SPREAD
        lowest = float(self.system.lowest)  # of which some systems know but a bound
        ordered = self.system.configuration(1.0, np.random.default_rng(0))
        floor = max(lowest, float(evaluated(self.system, np.array(ordered, float),
                                            np.empty(self.system.n_coordinates))))
        top = floor + n * hot + _SPREADS * math.sqrt(0.5 * n) * hot
        return Bins(lowest, width, math.ceil((top - lowest) / width) + 1)

    def _n_levels(self) -> int:
        return self._bins.number

    def _cells(self, state: canonical.State) -> Bins | None:
        return self._bins if state.histogram.shape[2] else None

    def memory(self) -> int:
        """Bytes of the state, and as much again for its checkpoint."""
        return super().memory() + 16 * GROUPS * self._bins.number * _COLUMNS * self.joint

    def init(self, seed: int) -> State:
        """Replicas as in ``Canonical``, and no visits."""
        start = super().init(seed)
        phi = start.phi / self.system.order_unit
        return State(**{f.name: getattr(start, f.name) for f in dataclasses.fields(start)},
                     seen=np.array([phi.min(), phi.max()]), joint=np.zeros(
                         (GROUPS, self._bins.number * self.joint, _COLUMNS), dtype=np.int64))

    def restore(self, saved: dict[str, Any]) -> State:
        """The state of a checkpoint."""
        return State(**saved)

    def _record(self, state: canonical.State, _k: int, first: int, energy_rt: np.ndarray,
                phi_rt: np.ndarray) -> None:
        assert isinstance(state, State)
        if not self.joint:
            return
        phi = phi_rt / self.system.order_unit
        if first <= 0:
            state.seen[:] = min(state.seen[0], phi.min()), max(state.seen[1], phi.max())
            return
        low, high = state.seen
        row = np.floor((energy_rt - self._bins.start) / self._bins.width)
        column = np.floor((phi - low) / max(high - low, 1e-300) * _COLUMNS)
        column[phi == high] = _COLUMNS - 1
        inside = (row >= 0) & (row < self._bins.number - 1) & (column >= 0) & (column < _COLUMNS)
        group = np.broadcast_to(np.arange(self.replicas)[:, None] * GROUPS // self.replicas,
                                inside.shape)
        np.add.at(state.joint, (group[inside], row[inside].astype(np.int64),
                                column[inside].astype(np.int64)), 1)

    def result(self, state: canonical.State) -> dict[str, Group]:
        """Groups of canonical sampling, and ``density_of_states``."""
        assert isinstance(state, State)
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
        dims: tuple[str, ...] = ("energy",)
        group = Group()
        group.add("energy", energy, "energy", "energy", "energy of the whole system, bin centre")
        visits = visits_gkc.sum(axis=(0, 1))[kept].astype(np.int64)
        if self.joint:
            low, high = state.seen
            dims = ("energy", "order_parameter")
            group.add("order_parameter", low + (high - low) / _COLUMNS
                      * (np.arange(_COLUMNS) + 0.5), "order_parameter", "1",
                      "order parameter, bin centre")
            visits = state.joint[:, kept].sum(axis=0)
            log_g, rows = _resolved(log_g, rows, state.joint[:, kept])
        group.add("walker", np.arange(GROUPS), "walker", "1", "group of independent ladders")
        group.add("log_g", log_g, dims, "nat", "ln of the volume of states in the bin, up to a "
                  "constant: the bins listed sum to 1")
        group.add("log_g_err", jackknife_error(rows), dims, "nat",
                  "standard error of log_g: jackknife over groups of ladders")
        group.add("log_g_jackknife", rows, ("walker", *dims), "nat",
                  "log_g with one group left out")
        group.add("visits", visits, dims, "1",
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


def _resolved(log_g_e: np.ndarray, rows_ge: np.ndarray, visits_gec: np.ndarray
              ) -> tuple[np.ndarray, np.ndarray]:
    """ln g(E, Phi) and its leave-one-out rows: ln g(E) with the share of visits of each bin of Phi;
    NaN where nothing was seen."""
    total_ec = visits_gec.sum(axis=0)
    without_gec = total_ec - visits_gec

    def share(visits):
        with np.errstate(divide="ignore", invalid="ignore"):
            log = np.log(visits / visits.sum(axis=-1, keepdims=True))
        return np.where(np.isfinite(log), log, np.nan)

    return log_g_e[:, None] + share(total_ec), rows_ge[:, :, None] + share(without_gec)
