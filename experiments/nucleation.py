"""Measure how specialised neurons nucleate: first passages from the unspecialised network.

At each input dimension d, at a constant drive u of a neuron, clones of one network in which no
neuron has specialised wait until the first one has; chains kept below the top of the barrier
measure -ln P(Phi) there.  Draws barrier and ln tau against d, ln tau against the barrier, beside
transition-state theory from the measured P(Phi), and the laws of the waiting times.  A barrier
proportional to d is what "first-order" means for a neuron (Rubin, Seroussi and Ringel, arXiv
2310.03789, sec. 3).
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main


@dataclass
class Parameters:
    """All settings are on the card."""


def run(job: Job) -> None:
    """Chains below the wall at every d, then clones, then what both say together."""
    from phasegrok.run.point import Point
    from phasegrok.run.scan import map_points
    from phasegrok.studies import nucleation

    chains = map_points(job, nucleation.measure_chains,
                        [Point(*point) for point in nucleation.points(job.card, "chains")])
    clones = map_points(job, nucleation.measure_clones,
                        [Point(*point) for point in nucleation.points(job.card, "clones")])
    job.finish(nucleation.groups(job.card, chains, clones))


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["two-layer-cubic-nucleation"], __file__, scan=True)
