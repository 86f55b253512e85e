"""Two-layer erf network with a cubic teacher, on all inputs or on n drawn patterns."""

import math
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from phasegrok.systems.two_layer_patterns import Patterns
from phasegrok.systems.two_layer_population import Population


class Parameters(BaseModel):
    """Parameters of the two-layer network with a cubic teacher."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    d: int = Field(ge=4, le=10_000, description="input dimension")
    N: int = Field(ge=2, le=100_000, description="neurons")
    n: int = Field(ge=1, le=10_000_000, description="patterns; of the population: kappa = sigma2/n")
    sigma2: float = Field(gt=0.0, description="variance of the likelihood: T = 2 sigma2/n for the "
                          "mean squared error")
    epsilon: float = Field(-0.3, description="amplitude of He_3 in the teacher")
    sigma_a2: float = Field(gt=0.0, description="N times the prior variance of an output weight")
    sigma_w2: float = Field(0.5, gt=0.0, description="d times that of an input weight")
    inputs: Literal["population", "drawn"] = Field("population", description="all inputs, or n")
    disorder_seed: int = Field(1, ge=0, description="seed of the patterns")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Patterns, shape (n, d), where they are drawn."""
        if self.inputs == "population":
            return {}
        if rows is None:
            rng = np.random.default_rng(np.random.SeedSequence(self.disorder_seed))
            rows = rng.standard_normal((self.n, self.d))
        if rows.shape != (self.n, self.d):
            raise ValueError(f"the patterns file has shape {rows.shape}, but n = {self.n} and "
                             f"d = {self.d} are given")
        if not np.all(np.isfinite(rows)):
            raise ValueError("a number of the patterns file is not finite")
        return {"patterns": np.asarray(rows, float)}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Input dimension d, in which barriers grow."""
        return self.d

    def build(self, arrays: dict[str, np.ndarray]):
        """The system on which kernels run."""
        widths = math.sqrt(self.sigma_a2 / self.N), math.sqrt(self.sigma_w2 / self.d)
        kappa = self.sigma2 / self.n
        if self.inputs == "population":
            return Population(self.d, self.N, kappa, self.epsilon, *widths)
        x = np.ascontiguousarray(arrays["patterns"])
        z = x[:, 0]
        return Patterns(self.d, self.N, kappa, self.epsilon, *widths, x,
                        z + self.epsilon * (z**3 - 3.0 * z))
