"""Exact critical points and exponents, where they are known: of the square lattice.

1/nu is the exponent y_T of the thermal field, and beta/nu = d - y_h, gamma/nu = 2 y_h - d.
"""

import math
from typing import NamedTuple

from phasegrok.theory import ising, potts


class Critical(NamedTuple):
    """T_c in units of energy, exponents, and the Binder ratio U = 1 - <m^4>/(3 <m^2>^2) at T_c of
    the periodic square in the limit of large L (NaN: not known)."""

    temperature: float
    inverse_nu: float
    beta_nu: float
    gamma_nu: float
    binder: float


_BINDER_ISING = 0.61069014
"""Periodic square: Kamieniarz and Blote, J. Phys. A 26 (1993) 201; Salas and Sokal, J. Stat. Phys.
98 (2000) 551, eq. (1.4), U_4 = 1.1679229(47), which is 3 (1 - U) here."""


def critical_point(kind: str, parameters) -> Critical | None:
    """Critical point of a model, or None where there is none or it is not known exactly.

    Ising: Onsager, Phys. Rev. 65 (1944) 117, and Yang, Phys. Rev. 85 (1952) 808.  Potts with q <= 4
    colours, sqrt q = 2 cos(pi u/2): y_T = 3 (1 - u)/(2 - u), 2 - y_h = (1 - u^2)/(4 (2 - u)), den
    Nijs, J. Phys. A 12 (1979) 1857, and Nienhuis, Riedel and Schick, J. Phys. A 13 (1980) L189; for
    q = 4 there are logarithms besides.

    Parameters
    ----------
    kind : str
        Kind of the card.
    parameters : object
        The card's parameters.
    """
    if kind == "ising-2d" and parameters.h == 0.0 and parameters.J2 == 0.0 and parameters.J > 0.0:
        T_c = ising.critical_temperature(parameters.J)
        return Critical(T_c, 1.0, 0.125, 1.75, _BINDER_ISING)
    if kind == "potts-2d" and parameters.q <= 4:
        u = 2.0 / math.pi * math.acos(math.sqrt(parameters.q) / 2.0)
        y_T, beta_nu = 3.0 * (1.0 - u) / (2.0 - u), (1.0 - u**2) / (4.0 * (2.0 - u))
        return Critical(potts.transition_temperature(parameters.q), y_T, beta_nu,
                        2.0 - 2.0 * beta_nu, math.nan)
    return None
