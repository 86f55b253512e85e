"""What a network learns from pairs: arithmetic modulo a prime, or products of permutations.

A task is a table of pairs (a, b) with a label each, of which a part is the training set.  The
``elements`` that a, b and the labels run over are the residues 0..p-1, or the n! permutations of n
things in lexicographic order (Power et al., arXiv 2201.02177, appendix A.1.1).
"""

import itertools
import math
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from phasegrok.networks.network import Data

Operation = Literal["+", "-", "*", "/", "x2+y", "x2+y2", "x2+xy+y2", "x2+xy+y2+x", "x3+xy",
                    "x3+xy2", "x3+xy2+y", "product", "conjugation", "aba"]
SYMMETRIC = ("+", "*", "x2+y2", "x2+xy+y2")  # (a, b) and (b, a) have the same label
PERMUTATIONS = ("product", "conjugation", "aba")
_POLYNOMIALS = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "*": lambda x, y: x * y,
    "x2+y": lambda x, y: x * x + y,
    "x2+y2": lambda x, y: x * x + y * y,
    "x2+xy+y2": lambda x, y: x * x + x * y + y * y,
    "x2+xy+y2+x": lambda x, y: x * x + x * y + y * y + x,
    "x3+xy": lambda x, y: x * x * x + x * y,
    "x3+xy2": lambda x, y: x * x * x + x * y * y,
    "x3+xy2+y": lambda x, y: x * x * x + x * y * y + y,
}


class Parameters(BaseModel):
    """A task on pairs and its training set (all quantities dimensionless)."""

    model_config = ConfigDict(extra="forbid")

    operation: Operation = Field(
        "-", description="of residues modulo p (/ leaves out b = 0), or of permutations: product "
        "a b, conjugation a b a^-1, aba"
    )
    p: int = Field(113, ge=3, description="modulus, a prime")
    degree: int | None = Field(
        None, ge=3, le=6, description="permutations of so many things: the group S_degree"
    )
    train_fraction: float = Field(
        0.3, gt=0.0, lt=1.0, description="share of the pairs in the training set, between 0 and 1"
    )
    split_seed: int = Field(0, ge=0, description="seed of the division into training and test set")
    split: Literal["unordered", "ordered", "given"] = Field(
        "unordered", description="unordered: (a, b) and (b, a) are on one side where they have one "
        "label; ordered: they may not be, and a memoriser scores about the train fraction; given: "
        "the training pairs are the rows a, b of the file of [data]"
    )

    @field_validator("operation", mode="before")
    @classmethod
    def _as_written(cls, operation):
        if not isinstance(operation, str):
            return operation
        for power, digit in (("²", "2"), ("³", "3"), ("**", ""), ("^", ""), (" ", "")):
            operation = operation.replace(power, digit)
        return operation

    @field_validator("p")
    @classmethod
    def _p_is_prime(cls, p: int) -> int:
        if not is_prime(p):
            smaller = next((q for q in range(p, 2, -1) if is_prime(q)), 3)
            raise ValueError(f"the modulus p = {p} is not a prime (the next smaller is {smaller})")
        return p

    @model_validator(mode="after")
    def _residues_or_permutations(self):
        if (self.operation in PERMUTATIONS) != (self.degree is not None):
            raise ValueError(
                "operations of permutations need a degree, as in degree = 5 for the group S5"
                if self.degree is None else f"degree = {self.degree} is that of permutations: give "
                f"one of {', '.join(PERMUTATIONS)} as the operation, or leave it out")
        if self.degree is not None and "p" in self.model_fields_set:
            raise ValueError("permutations have a degree and no modulus: leave out p")
        return self

    @property
    def elements(self) -> int:
        """Number of residues or permutations: of values of a and b, and of classes."""
        return self.p if self.degree is None else math.factorial(self.degree)

    def disorder(self, rows: np.ndarray | None) -> dict[str, np.ndarray]:
        """Quenched arrays of the system: the training pairs where they are given, else none.

        Raises
        ------
        ValueError
            Where [data] and ``split = "given"`` are not there together, or a row is not a pair of
            the task.
        """
        if self.split != "given":
            if rows is not None:
                raise ValueError('the training pairs of [data] are used with split = "given" only')
            return {}
        if rows is None:
            raise ValueError('split = "given" needs the file of training pairs: [data] file = ...')
        if rows.ndim != 2 or rows.shape[1] != 2:
            raise ValueError("the file of training pairs needs two columns, a and b")
        known = {(int(a), int(b)) for a, b in zip(*_all_pairs(self))}
        for row in rows:
            if tuple(row) not in known:
                raise ValueError(f"the training pair {row[0]:g}, {row[1]:g} is not one of the task")
        return {"train": np.unique(rows.astype(np.int64), axis=0)}

    def size(self, arrays: dict[str, np.ndarray]) -> int:
        """The number of elements: the modulus p, or n!."""
        return self.elements


def is_prime(n: int) -> bool:
    """True where n is a prime number (trial division; n is small here)."""
    return n >= 2 and all(n % k for k in range(2, math.isqrt(n) + 1))


def label(parameters: Parameters, pairs: np.ndarray) -> np.ndarray:
    """Result of the operation for each pair.

    Products of permutations act from the right to the left: (a b)(i) = a(b(i)).

    Parameters
    ----------
    parameters : Parameters
        Operation, and modulus or degree.
    pairs : (n, 2) integer array

    Returns
    -------
    labels : (n,) int64 array, 0..elements-1
    """
    a, b = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
    operation, p = parameters.operation, parameters.p
    if operation in _POLYNOMIALS:
        return _POLYNOMIALS[operation](a, b) % p
    if operation == "/":
        inverse = np.array([0] + [pow(k, -1, p) for k in range(1, p)], dtype=np.int64)
        return (a * inverse[b]) % p
    if operation not in PERMUTATIONS or parameters.degree is None:
        raise ValueError(f"the operation {operation} has no labels: write it in tasks.label")
    table = np.array(list(itertools.permutations(range(parameters.degree))))  # (n!, n)
    right = {"product": table[b], "conjugation": np.take_along_axis(
        table[b], np.argsort(table, axis=1)[a], axis=1), "aba": np.take_along_axis(
        table[b], table[a], axis=1)}[operation]
    images = np.take_along_axis(table[a], right, axis=1)
    place = parameters.degree ** np.arange(parameters.degree)[::-1]
    return np.searchsorted(table @ place, images @ place)  # lexicographic: ascending


def data_set(parameters: Parameters,
             arrays: dict[str, np.ndarray] | None = None) -> tuple[Data, Data]:
    """Training and test pairs with their labels.

    With ``split = "unordered"``, for symmetric operations unordered pairs are divided, so that
    (a, b) and (b, a) are on the same side: on ordered pairs a network that memorises {a, b} would
    score about the train fraction.

    Raises
    ------
    ValueError
        Where the training or the test set would be empty.
    """
    n = parameters.elements
    a, b = _all_pairs(parameters)
    if parameters.split == "given":
        keys = a * n + b
        rows = (arrays or {})["train"]
        chosen = np.isin(keys, rows[:, 0] * n + rows[:, 1])
        if chosen.all():
            raise ValueError("the given training pairs are all pairs: no test set is left")
        sides = [keys[chosen], keys[~chosen]]
    else:
        sides = _drawn(parameters, a, b)
    train, test = (np.stack(np.divmod(np.sort(keys), n), axis=1) for keys in sides)
    return Data(train, label(parameters, train)), Data(test, label(parameters, test))


def _all_pairs(parameters: Parameters) -> tuple[np.ndarray, np.ndarray]:
    n = parameters.elements
    a, b = np.divmod(np.arange(n * n), n)
    return (a[b != 0], b[b != 0]) if parameters.operation == "/" else (a, b)


def _drawn(parameters: Parameters, a: np.ndarray, b: np.ndarray) -> list[np.ndarray]:
    """Keys a n + b of the training and of the test pairs, drawn by ``split_seed``."""
    n = parameters.elements
    symmetric = parameters.operation in SYMMETRIC and parameters.split == "unordered"
    if symmetric:
        a, b = a[a <= b], b[a <= b]
    n_train = round(parameters.train_fraction * len(a))
    if not 0 < n_train < len(a):
        raise ValueError(
            f"train_fraction = {parameters.train_fraction} of {len(a)} pairs leaves no "
            f"{'training' if n_train == 0 else 'test'} set"
        )
    # argsort of uniform numbers: Generator.permutation may change between versions of NumPy
    order = np.argsort(np.random.default_rng(parameters.split_seed).random(len(a)), kind="stable")
    sides = []
    for chosen in (order[:n_train], order[n_train:]):
        keys = a[chosen] * n + b[chosen]
        sides.append(np.union1d(keys, b[chosen] * n + a[chosen]) if symmetric else keys)
    return sides
