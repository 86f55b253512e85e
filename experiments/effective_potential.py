"""Measure the effective potential -ln P(order parameter) of a discrete system.

A joint density of states g(E, order parameter) gives the potential at every temperature at once:
its wells, the barrier between them, the spinodals (where the second well comes and goes at this
size) and the coexistence point, at equal height and at equal weight.  Draws the potential at
several temperatures, and barrier and wells against temperature.
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main, parameter


@dataclass
class Parameters:
    """What can be set on the command line."""

    sweeps: int | None = parameter(None, "sweeps of each walker in total, also on resume "
                                   "(default: the card's)", extends=True)
    walkers: int | None = parameter(None, "independent walkers (default: the card's)")
    temperatures: str | None = parameter(None, "first:last:number (default: the card's)")


def run(job: Job) -> None:
    """Sample g(E, Phi), then find wells, barriers, spinodals and coexistence."""
    from phasegrok.protocols import potential_groups, temperature_table, wang_landau

    p = job.parameters
    sampler = wang_landau(job.card, p.sweeps, p.walkers, joint=True)
    temperatures = temperature_table(job.card, p.temperatures)
    state = job.drive(sampler)
    job.finish(potential_groups(sampler, state, temperatures))


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["curie-weiss-p3"], __file__)
