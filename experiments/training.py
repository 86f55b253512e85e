"""Train an ensemble of networks and record when each memorises and generalises.

Loss and accuracy on train and test set, norms of every weight matrix, the step of 99 % train
accuracy and those of 50 % and of sustained 95 % test accuracy, for independent initialisations on
one data set, with the optimiser of the card.  Draws the curves of delayed generalisation (Power et
al., arXiv 2201.02177, fig. 1).
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main, parameter


@dataclass
class Parameters:
    """What can be set on the command line."""

    replicas: int | None = parameter(None, "independent initialisations (default: the card's)")
    steps: int | None = parameter(None, "steps in total, also on resume "
                                  "(default: the card's)", extends=True)


def run(job: Job) -> None:
    """Train every replica to the end."""
    from phasegrok.studies.training import training

    protocol = training(job.card, job.parameters.replicas, job.parameters.steps)
    job.finish(protocol.result(job.drive(protocol)))


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["transformer-subtraction-31"], __file__)
