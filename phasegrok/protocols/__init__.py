"""Objects with init, advance and result, which a job drives from their start to their end.

:mod:`phasegrok.protocols.protocol` is the contract, and the first thing to read.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # mypy holds each of them to the contract
    from phasegrok.protocols.canonical import Canonical
    from phasegrok.protocols.chains import Langevin
    from phasegrok.protocols.clones import DiscreteClones, OverdampedClones
    from phasegrok.protocols.escape import Escape
    from phasegrok.protocols.landscapes import Landscapes
    from phasegrok.protocols.network_clones import NetworkClones
    from phasegrok.protocols.protocol import Protocol
    from phasegrok.protocols.quench import Quench, Ramp
    from phasegrok.protocols.series import Series
    from phasegrok.protocols.training import Training
    from phasegrok.protocols.version_space import VersionSpace
    from phasegrok.protocols.wang_landau import WangLandau

    _ALL: tuple[type[Protocol[Any]], ...] = (
        Canonical, DiscreteClones, Escape, Landscapes, Langevin, NetworkClones, OverdampedClones,
        Quench, Ramp, Series, Training, VersionSpace, WangLandau)
