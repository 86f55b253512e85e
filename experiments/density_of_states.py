"""Measure the density of states ln g(E), or ln g(E, order parameter), of a discrete system.

Independent Wang-Landau walkers learn during the first half of the sweeps and sample with frozen
weights during the second; their scatter gives the errors.  Energy, heat capacity, entropy and free
energy against temperature follow without further simulation.  Draws the figure of entropy against
energy and of the thermodynamics (compare Beale, Phys. Rev. Lett. 76 (1996) 78, for 2D Ising).
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main, parameter


@dataclass
class Parameters:
    """What can be set on the command line."""

    sweeps: int | None = parameter(None, "sweeps of each walker in total, also on resume "
                                   "(default: the card's)", extends=True)
    walkers: int | None = parameter(None, "independent walkers (default: the card's)")
    joint: bool = parameter(False, "resolve the order parameter too")
    temperatures: str | None = parameter(None, "first:last:number (default: the card's, or "
                                    "where the energy changes)")


def run(job: Job) -> None:
    """Sample, then turn ln g into thermodynamics."""
    from phasegrok.studies.density_of_states import landscape_temperatures, wang_landau
    from phasegrok.thermodynamics.tables import thermodynamics

    p = job.parameters
    sampler = wang_landau(job.card, p.sweeps, p.walkers, p.joint)
    temperatures = landscape_temperatures(job.card, p.temperatures)
    groups = sampler.result(job.drive(sampler))
    groups["thermodynamics"] = thermodynamics(
        groups["density_of_states"], temperatures, sampler.system.n_sites)
    job.finish(groups)


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["ising-2d"], __file__)
