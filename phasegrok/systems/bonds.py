"""Instances of Ising spins as data files give them: bonds, local fields, and how sites count.

Rows are ``site_a, site_b, J``; a row of a site with itself, ``i, i, h``, is its local field, as in
the files of spin-glass servers and annealers, with the signs of
E = -sum_ij J_ij s_i s_j - sum_i h_i s_i.  Sites count from 0 where one is called 0, and from 1
where none is.  A first row of two numbers, ``N M``, has the numbers of sites and of the rows that
follow (G-set).
"""

from typing import NamedTuple

import numpy as np

MOST_SITES = 2**24


class Instance(NamedTuple):
    """Bonds (M, 3), as rows ``site_a, site_b, J`` with sites from 0, and fields h_i (N,)."""

    bonds: np.ndarray
    fields: np.ndarray


def instance(rows: np.ndarray, n_sites: int | None = None) -> Instance:
    """The instance that rows of a data file describe.

    Parameters
    ----------
    rows : float64[M, 3]
        Bonds and local fields; a missing third number (NaN) makes the first row one of counts.
    n_sites : int, optional
        Number of sites N, some of which may be without a bond.

    Raises
    ------
    ValueError
        If the rows are no instance, or can be read in two ways.
    """
    if rows.ndim != 2 or rows.shape[1] != 3:
        raise ValueError(f"a bond list has three columns site_a, site_b, J, not shape {rows.shape}")
    counted, rows = without_counts(np.asarray(rows, float))
    sites = rows[:, :2]
    if np.any(sites != np.floor(sites)) or np.any(sites < 0):
        raise ValueError("site numbers in a bond list are integers from 0 or from 1")
    if not np.all(np.isfinite(rows)):
        raise ValueError("a coupling in the bond list is not a finite number")
    if None not in (n_sites, counted) and n_sites != counted:
        raise ValueError(f"the first row says {counted} sites, but there are to be {n_sites}")
    number = counted if n_sites is None else n_sites
    if number is not None and number > MOST_SITES:
        raise ValueError(f"the first row says {number} sites; there can be {MOST_SITES}")
    if number is None and sites.max() > 100 * (len(rows) + 10):
        raise ValueError(f"a site has number {sites.max():.0f} with {len(rows)} bonds only: "
                         "number the sites from 0 or 1 without large gaps")
    first = int(sites.min() > 0)
    last = int(sites.max())
    if number is None:
        number = last - first + 1
    elif last - first >= number:
        raise ValueError(f"a site has number {last}, but {number} sites that count from {first} "
                         f"end at {number - 1 + first}")
    pairs = np.sort(sites.astype(np.int64), axis=1) - first
    _refuse_repeated(pairs, first)
    is_field = pairs[:, 0] == pairs[:, 1]
    if np.all(is_field):
        raise ValueError("the list has no bond: a row that joins a site with itself is its local "
                         "field, i, i, h")
    free = np.flatnonzero(np.bincount(pairs.ravel(), minlength=number) == 0)
    if n_sites is None and len(free):
        raise ValueError(
            f"site {free[0] + first} has no bond: number the sites from 0 or from 1 without gaps, "
            f"or give n_sites = {number} in [parameters] if it is a free spin")
    fields = np.zeros(number)
    fields[pairs[is_field, 0]] = rows[is_field, 2]
    bonds = rows[~is_field]
    bonds[:, :2] -= first
    return Instance(bonds, fields)


def without_counts(rows: np.ndarray) -> tuple[int | None, np.ndarray]:
    """N of a first row of counts, and the rows after it; None and all rows where there is none."""
    head, rest = rows[0], rows[1:]
    if not len(rest):
        return None, rows
    if np.isnan(head[2]) and head[0] == np.floor(head[0]):
        n_bonds = np.count_nonzero(rest[:, 0] != rest[:, 1])
        if not (np.isnan(head[1]) or head[1] in (len(rest), n_bonds)):
            raise ValueError(f"the first row says {head[1]:g} bonds, but {len(rest)} rows follow")
        return int(head[0]), rest
    as_counts = head[1] == len(rest) or (head[0] == head[1] and head[2] == len(rest))
    if as_counts and head[0] >= rest[:, :2].max():
        raise ValueError("the first row can be a bond, or the numbers of sites and bonds: write "
                         "such counts as two numbers, N M, and a bond like it in a later row")
    return None, rows


def _refuse_repeated(pairs: np.ndarray, first: int) -> None:
    unique, counts = np.unique(pairs, axis=0, return_counts=True)
    if np.any(counts > 1):
        a, b = unique[np.argmax(counts > 1)] + first
        if a == b:
            raise ValueError(f"the field of site {a} appears twice: give it once, values added")
        raise ValueError(f"a bond appears twice, {a} to {b}: give each pair of sites once, "
                         "couplings added")
