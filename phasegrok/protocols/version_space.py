r"""Hit and run on the sphere: uniform sampling of the students that make no error.

From w a great circle is drawn in a uniform direction v across w, :math:`w\cos\theta +
v\sin\theta`.  Pattern mu allows the half circle around :math:`\varphi_\mu =
\mathrm{atan2}(v\cdot\xi_\mu, w\cdot\xi_\mu)`; all of them contain 0, so that the angles allowed
are one arc, from :math:`\max\varphi_\mu - \pi/2` to :math:`\min\varphi_\mu + \pi/2`, and the
next w is uniform on it.  No step is rejected and the uniform law on the cone is stationary
(Smith, Oper. Res. 32 (1984) 1296).  A sweep is N moves.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from phasegrok.compiled import n_threads, over_threads
from phasegrok.dynamics.version_space import advance_chain, learn
from phasegrok.groups import Group
from phasegrok.rng import fill_normal, streams
from phasegrok.statistics import mean_with_error

_LEARNED = 2_000_000  # most corrections of the perceptron algorithm


@dataclasses.dataclass
class State:
    """Students of two chains a sample: from the teacher, and from a learned student."""

    w: np.ndarray  # (S, 2, N)
    rng: np.ndarray  # (S, 2, 4)
    sweeps: int
    series: np.ndarray  # (S, 2, K), overlaps


@dataclasses.dataclass(frozen=True)
class VersionSpace:
    """Protocol: two chains in the cone of each sample.

    Parameters
    ----------
    systems : tuple of SphericalPerceptron
        One a sample.
    sweeps : int
        Of each chain; the first quarter is not measured.
    """

    systems: tuple
    sweeps: int
    unit: str = dataclasses.field(default="sweeps", init=False)

    def total(self) -> int:
        """Sweeps of each chain."""
        return self.sweeps

    def done(self, state: State) -> int:
        """Sweeps made."""
        return state.sweeps

    def memory(self) -> int:
        """Bytes of the state, and as much again for its checkpoint."""
        return 32 * len(self.systems) * (self.sweeps + self.systems[0].n_coordinates)

    def init(self, seed: int) -> State:
        """One chain at the teacher, one at what the perceptron algorithm learns from noise."""
        n, N = len(self.systems), self.systems[0].n_coordinates
        rng = streams(seed, ["version-space"], 2 * n).reshape(n, 2, -1)
        w = np.empty((n, 2, N))
        for k, system in enumerate(self.systems):
            w[k, 0] = system.teacher
            fill_normal(rng[k, 1], w[k, 1])
            if not learn(system.aligned, w[k, 1], _LEARNED):
                w[k, 1] = system.teacher
        return self.restore({"w": w, "rng": rng, "sweeps": 0,
                             "series": np.empty((n, 2, 0))})

    def restore(self, saved: dict[str, Any]) -> State:
        """The state of a checkpoint, with room up to a larger total."""
        series = np.full((*saved["series"].shape[:2], self.sweeps), np.nan)
        series[:, :, : saved["series"].shape[2]] = saved["series"]
        return State(saved["w"], saved["rng"], int(saved["sweeps"]), series)

    def advance(self, state: State, n: int) -> None:
        """Advance every chain by ``n`` sweeps."""
        n = min(n, self.sweeps - state.sweeps)
        groups = np.array_split(np.arange(len(self.systems)), n_threads())

        def run(g):
            P, N = self.systems[0].aligned.shape
            v, field, across = np.empty(N), np.empty(P), np.empty(P)
            for k in groups[g]:
                system = self.systems[k]
                for c in range(2):
                    advance_chain(system.aligned, system.teacher, state.w[k, c], state.rng[k, c], v,
                             field, across, state.series[k, c], state.sweeps, n)

        over_threads(run, len(groups))
        state.sweeps += n

    def status(self, state: State) -> str:  # noqa: ARG002
        """How many samples."""
        return f"{len(self.systems)} samples"

    def result(self, state: State) -> dict[str, Group]:
        """Group ``version_space``: overlap and generalisation error of every sample."""
        first = state.sweeps // 4
        if state.sweeps - first < 16:
            return {}
        R = state.series[:, :, first : state.sweeps]
        error = np.arccos(np.clip(R, -1.0, 1.0)) / math.pi
        group = Group(attributes={"sweeps": state.sweeps})
        group.add("sample", np.arange(len(R)), "sample", "1", "teacher and patterns")
        group.add("start", np.array(["teacher", "learned"]), "start", "1", "of the chain")
        dims = ("sample", "start")
        for name, values, text in (("overlap", R, "<R> of Gibbs students"),
                                   ("error", error, "generalisation error, arccos(R)/pi")):
            group.add(name, values.mean(axis=2), dims, "1", text)
            group.add(f"{name}_err", np.array([[mean_with_error(x).error for x in row]
                                               for row in values]), dims, "1", "its thermal error")
        return {"version_space": group}
