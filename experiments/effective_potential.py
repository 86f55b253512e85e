"""Measure the effective potential -ln P(order parameter) of a system, or of one neuron.

A joint density of states g(E, order parameter) gives the potential at every temperature at once:
its wells, the barrier between them, the spinodals (where the second well comes and goes at this
size) and the coexistence point, at equal height and at equal weight.  Draws the potential at
several temperatures, and barrier and wells against temperature.

Of plain coordinates, such as fields and atoms, the histograms of replicas at the temperatures of
[sample] give g(E, order parameter) in bins of both.

On a continuous card (two-layer-cubic), Langevin chains give -ln P(Phi) of a neuron at the card's
temperature; it is drawn beside the theories (Rubin, Seroussi and Ringel, arXiv 2310.03789, fig. 2).
On ridge and tanh-teacher-student it is that of the whole model.
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main, parameter


@dataclass
class Parameters:
    """What can be set on the command line."""

    sweeps: int | None = parameter(
        None, "sweeps of each walker, or steps of each chain, in total, also on resume (default: "
        "the card's)", extends=True)
    walkers: int | None = parameter(None, "independent walkers, or chains (default: the card's)")
    method: str | None = parameter(None, "how (default: the card's; auto: a ladder of temperatures "
                                   "where the system fits in words)",
                                   choices=["auto", "ladder", "wang-landau", "samc"])
    temperatures: str | None = parameter(None, "first:last:number (default: the card's, or "
                                    "where the energy changes)")


def run(job: Job) -> None:
    """Sample g(E, Phi) and find wells, barriers, coexistence; or run Langevin chains."""
    from phasegrok.studies.density_of_states import (
        density_of_states,
        landscape_temperatures,
        potential_groups,
    )

    p = job.parameters
    if job.card.family == "continuous":
        from phasegrok.studies.chains import langevin, langevin_groups

        protocol = langevin(job.card, p.sweeps, p.walkers)
        job.finish(langevin_groups(job.card, protocol, job.drive(protocol)))
        return
    sampler = density_of_states(job.card, p.sweeps, p.walkers, p.method, joint=True,
                                what="the effective potential")
    temperatures = landscape_temperatures(job.card, p.temperatures)
    state = job.drive(sampler)
    job.finish(potential_groups(sampler, state, temperatures))


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["curie-weiss-p3"], __file__)
