"""Measure how a transition changes with size: exponents, data collapse and barriers.

Canonical runs at several sizes, each in its own window of temperatures, give crossings of the
Binder ratio, exponents from quotients there, and a data collapse with one T_c and one nu (2D Ising:
Onsager, Phys. Rev. 65 (1944) 117).  Wang-Landau densities of states give the barrier between two
phases against size (Lee and Kosterlitz, Phys. Rev. Lett. 65 (1990) 137).  Says of which order the
transition is at the sizes run.
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main


@dataclass
class Parameters:
    """What can be set on the command line: nothing besides the card's ``[finite_size]``."""


def run(job: Job) -> None:
    """Sample every size, then scale; landscapes of every size, then barriers."""
    from phasegrok.run.point import Point
    from phasegrok.run.scan import map_points
    from phasegrok.studies.finite_size import (
        finite_size_barrier_points,
        finite_size_landscape,
        finite_size_order,
        finite_size_pilots,
        finite_size_points,
        finite_size_sample,
        finite_size_scaling,
        finite_size_settings,
    )

    def all_points(measure, cards):
        return map_points(job, measure, [Point(name, card) for name, card in cards.items()])

    card = job.card
    settings = finite_size_settings(card)
    groups, collapsed = {}, None
    if settings.sizes:
        pilots = all_points(finite_size_sample, finite_size_pilots(card))
        runs = all_points(finite_size_sample, finite_size_points(card, pilots))
        groups, collapsed = finite_size_scaling(card, runs)
    landscapes = []
    if settings.barrier_sizes:
        landscapes = all_points(finite_size_landscape,
                                finite_size_barrier_points(card))
    job.finish(groups | finite_size_order(card, landscapes, collapsed))


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["ising-2d", "potts-2d-q10"], __file__, scan=True)
