"""Which account fits: a first-order transition, glass relaxation, or plain drift?

For every card: the effective potential (discrete systems) or the training curves (networks), the
waiting times of clones of one checkpoint at several temperatures and sizes, the noise-free run, and
the verdict with its components and errors.  Systems whose answer is known run beside, with their
exact values.  Draws the one-page figure: trajectories, potentials, waiting times, scaling, verdict.
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main, parameter

CARDS = ["curie-weiss-p3", "control-drift", "control-saddle", "ising-perceptron",
         "transformer-subtraction-31"]


@dataclass
class Parameters:
    """What can be set on the command line."""

    clones: int | None = parameter(None, "clones at the first temperature (default: the card's, "
                                   "at least 40; 24 with --quick)")


def check(cards: list, parameters: Parameters, quick: bool) -> None:
    """Every card must allow a verdict."""
    from phasegrok.studies.comparison import check_comparable

    check_comparable(cards, parameters.clones, quick)


def run(job: Job, cards: list) -> None:
    """Measure every card, each protocol in its own file, then judge."""
    from phasegrok.studies.comparison import measure, verdict_group

    groups = {}
    for card in cards:
        job.write("running", groups)
        groups[f"verdict/{card.name}"] = verdict_group(card, measure(job, card))
    job.finish(groups)


if __name__ == "__main__":
    main(__doc__, Parameters, run, CARDS, __file__, check)
