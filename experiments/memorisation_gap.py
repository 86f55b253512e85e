"""Measure what two-layer networks memorise: train and test loss against the number of patterns.

On several data sets of each size n, at one kappa = sigma^2/n, Langevin chains from the prior and
from aligned weights give train and test loss, -ln P(Phi) of a neuron and the residual of He_3.  In
the limit of the equivalent kernel all of these depend on kappa alone, and both losses are equal;
their gap is what the limit leaves out.  Draws the potentials beside cavity theory, the losses
against n, and both losses in time from both starts (Rubin, Seroussi and Ringel, arXiv 2310.03789,
app. D).
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main


@dataclass
class Parameters:
    """All settings are on the card."""


def run(job: Job) -> None:
    """All data sets of all sizes."""
    from phasegrok.run.point import Point
    from phasegrok.run.scan import map_points
    from phasegrok.studies import memorisation

    points = [Point(*point) for point in memorisation.points(job.card)]
    job.finish(memorisation.groups(job.card, map_points(job, memorisation.measure, points)))


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["two-layer-cubic-dataset", "two-layer-cubic-delay"], __file__,
         scan=True)
