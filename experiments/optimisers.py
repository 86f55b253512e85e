"""Compare the optimisers of the grokking literature on one network, split and set of weights.

AdamW, Adam with coupled decay, SGD with momentum, training at a fixed norm (Liu et al., arXiv
2210.01117), Langevin dynamics and WanD (Zhang et al., arXiv 2505.11411), each with or without
Grokfast's filter of the gradient (Lee et al., arXiv 2405.20233, fig. 1), as the card lists them.
For each the steps to memorise and to generalise over replicas, and their ratio to the first of the
list; for each filter the ratio to the same optimiser without.
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main


@dataclass
class Parameters:
    """All settings are on the card."""


def run(job: Job) -> None:
    """Train with every optimiser, then compare."""
    from phasegrok.run.point import Point
    from phasegrok.run.scan import map_points
    from phasegrok.studies import optimisers

    points = [Point(*point) for point in optimisers.points(job.card, job.seed)]
    job.finish(optimisers.groups(job.card, map_points(job, optimisers.measure, points)))


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["optimisers-subtraction-31"], __file__, scan=True)
