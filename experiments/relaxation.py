"""Follow a discrete system after a quench, or on ramps of temperature at several rates.

A quench measures energy, order parameter, the overlap of independent replicas and the two-time
overlap C(t_w, t_w + t) against time, and how the relaxation time grows with the age t_w.  --ramp
cools and heats at rates that differ by factors of two, which shows hysteresis and the energy left
over.  With disorder, --samples draws many samples.  Draws both figures (compare Godreche and Luck,
J. Phys. A 33 (2000) 1151, for the Glauber chain).
"""

from dataclasses import dataclass

from phasegrok.experiment import Job, main, parameter


@dataclass
class Parameters:
    """What can be set on the command line."""

    ramp: bool = parameter(False, "ramps through the card's temperatures instead of a quench")
    temperature: float | None = parameter(None, "T after the quench (default: the card's)")
    sweeps: int | None = parameter(None, "sweeps after the quench, or at each T of the slowest "
                                   "ramp (default: the card's)", extends=True)
    samples: int = parameter(1, "samples of the disorder")


def run(job: Job) -> None:
    """Quench, or ramp."""
    from phasegrok.studies.relaxation import relaxation, relaxation_groups

    p = job.parameters
    protocol = relaxation(job.card, p.ramp, p.temperature, p.sweeps, p.samples)
    job.finish(relaxation_groups(job.card, protocol, job.drive(protocol)))


if __name__ == "__main__":
    main(__doc__, Parameters, run, ["glauber-chain"], __file__)
