"""Measure how long clones of one checkpoint wait for the event of the card.

Clones differ only in their thermal noise.  The mean waiting time, its spread and the law that fits
(shifted exponential for an activated event) come with errors, beside the exact mean first-passage
time where the system is solved.  Draws the survival function with the fitted law.
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main, parameter


@dataclass
class Parameters:
    """What can be set on the command line."""

    clones: int | None = parameter(None, "number of clones (default: the card's)")
    temperature: float | None = parameter(None, "T of the clones (default: the card's first)")


def run(job: Job) -> None:
    """Run the clones and analyse their waiting times."""
    from phasegrok.studies.waiting_times import clones, waiting_groups

    protocol = clones(job.card, job.parameters.temperature, job.parameters.clones)
    job.finish(waiting_groups(job.card, protocol, job.drive(protocol)))


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["curie-weiss-p3"], __file__)
