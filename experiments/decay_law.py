"""Measure how the time to generalise depends on weight decay, data, and the size of the weights.

The same network is trained at several values of lr wd (changed by the decay, and by the learning
rate), of the train fraction and of the scale of the initial weights, each over replicas: the step
of 50 % test accuracy against each, with the exponent of lr wd and the train fraction at which the
time diverges.  At norms held fixed the train and test loss after training draw the L and the U of
Liu et al. (arXiv 2210.01117, figs. 2 and 6), who find t proportional to 1/(lr wd).
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main


@dataclass
class Parameters:
    """All settings are on the card."""


def run(job: Job) -> None:
    """Train at every value, then fit."""
    from phasegrok.run.point import Point
    from phasegrok.run.scan import map_points
    from phasegrok.studies import decay_law

    points = [Point(*point) for point in decay_law.points(job.card, job.seed)]
    job.finish(decay_law.groups(job.card, map_points(job, decay_law.measure, points)))


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["decay-law-mlp-31"], __file__, scan=True)
