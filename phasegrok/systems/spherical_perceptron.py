"""Spherical perceptron that learns from a teacher, at T = 0.

A student w on the sphere of radius 1 classifies a pattern xi, standard normal in N dimensions, by
sign(w . xi).  At T = 0 all students that classify the P patterns as the teacher w* does weigh the
same: they are a convex cone of the sphere.  The order parameter is the overlap R = w . w*.
"""

from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field


class Parameters(BaseModel):
    """Parameters of the spherical perceptron; teacher and patterns are drawn, or read."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    N: int = Field(ge=2, le=10_001, description="number of weights")
    P: int = Field(ge=1, le=1_000_000, description="number of patterns")
    disorder_seed: int = Field(1, ge=0, description="seed of the teacher and the patterns")

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Teacher (first row) and patterns, shape (P + 1, N)."""
        if rows is None:
            rng = np.random.default_rng(np.random.SeedSequence(self.disorder_seed))
            rows = rng.standard_normal((self.P + 1, self.N))
        if rows.shape != (self.P + 1, self.N):
            raise ValueError(
                f"the patterns file has shape {rows.shape}, but N = {self.N} and P = {self.P} "
                f"need {self.P + 1} rows (teacher first) of {self.N}")
        if not np.all(np.isfinite(rows)):
            raise ValueError("a number of the patterns file is not finite")
        return {"patterns": np.asarray(rows, float)}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """Number of weights N."""
        return self.N

    def build(self, arrays: dict[str, np.ndarray]) -> "SphericalPerceptron":
        """The system on which kernels run."""
        teacher = arrays["patterns"][0] / np.linalg.norm(arrays["patterns"][0])
        patterns = arrays["patterns"][1:]
        fields = patterns @ teacher
        return SphericalPerceptron(np.ascontiguousarray(patterns * np.sign(fields)[:, None]),
                                   teacher)


class SphericalPerceptron(NamedTuple):
    """Patterns times their labels (P, N), and the teacher (N,): w is right if aligned w > 0."""

    aligned: np.ndarray
    teacher: np.ndarray

    @property
    def n_coordinates(self) -> int:
        """Number of weights N."""
        return len(self.teacher)
