"""Measure the density of states ln g(E), or ln g(E, order parameter), of a system.

Ladders of temperatures move 64 replicas of Ising spins at each rung in the bits of a word, on any
graph whose couplings have a common step; elsewhere Wang-Landau walkers learn during the first half
of the sweeps and sample with frozen weights during the second.  The scatter of independent ladders
gives the errors.  Of plain coordinates, such as angles, fields and atoms, the histograms of
replicas at the temperatures of [sample] give ln g.  Energy, heat capacity, entropy and free energy
against temperature follow without further simulation.  Draws the figure of entropy against energy
and of the thermodynamics (compare Beale, Phys. Rev. Lett. 76 (1996) 78, for 2D Ising).
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main, parameter


@dataclass
class Parameters:
    """What can be set on the command line."""

    sweeps: int | None = parameter(None, "sweeps of each walker in total, also on resume "
                                   "(default: the card's)", extends=True)
    walkers: int | None = parameter(None, "independent walkers (default: the card's)")
    method: str | None = parameter(None, "how (default: the card's; auto: a ladder of temperatures "
                                   "where the system fits in words)",
                                   choices=["auto", "ladder", "wang-landau", "samc"])
    fold: bool = parameter(False, "take g(E) = g(-E) for granted, with a ladder")
    joint: bool = parameter(False, "resolve the order parameter too")
    temperatures: str | None = parameter(None, "first:last:number (default: the card's, or "
                                    "where the energy changes)")


def run(job: Job) -> None:
    """Sample, then turn ln g into thermodynamics."""
    from phasegrok.estimates import estimated
    from phasegrok.studies.density_of_states import (
        density_of_states,
        landscape_temperatures,
    )
    from phasegrok.thermodynamics.tables import thermodynamics

    p = job.parameters
    sampler = density_of_states(job.card, p.sweeps, p.walkers, p.method, p.fold or None, p.joint)
    temperatures = landscape_temperatures(job.card, p.temperatures)
    groups = sampler.result(job.drive(sampler))
    found = estimated(groups, "thermodynamics", lambda: thermodynamics(
        groups["density_of_states"], temperatures, sampler.system.n_sites))
    job.finish(groups if found is None else groups | {"thermodynamics": found})


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["ising-2d"], __file__)
