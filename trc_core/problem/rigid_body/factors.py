"""The mass matrix of a tree as L' D L, whose L is as sparse as the tree.

Source: Featherstone, Rigid Body Dynamics Algorithms (2008), sections 6.2 and 6.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from trc_core.problem.rigid_body.tree import Tree
from trc_core.problem.rigid_body.vectors import Vector


class Factors(NamedTuple):
    """The mass matrix as L' D L."""

    L: Vector
    inverses: list[Any]
    """Of the entries of D."""


def factors_of(
    tree: Tree, S: list[Vector], inertial: list[Vector], armatures: Sequence[Any] | None
) -> Factors:
    """The factors of the mass matrix, whose entry (i, j) is (I S_i) S_j for j above i."""
    n = len(tree)
    M = np.zeros((n, n)).astype(object)
    for i in range(n):
        for j in (i, *tree.above[i]):
            M[i, j] = inertial[i] @ S[j]
        M[i, i] = M[i, i] + (0.0 if armatures is None else armatures[i])
    inverses: list[Any] = [None] * n
    for k in reversed(range(n)):
        inverses[k] = 1.0 / M[k, k]
        for i in tree.above[k]:
            factor = M[k, i] * inverses[k]
            for j in (i, *tree.above[i]):
                M[i, j] = M[i, j] - factor * M[k, j]
            M[k, i] = factor
    return Factors(M, inverses)


def solved(tree: Tree, factors: Factors, right: Sequence[Any]) -> list[Any]:
    """The solution (n,) of M x = right."""
    return _ended(tree, factors, right, len(tree))


def _ended(tree: Tree, factors: Factors, right: Sequence[Any], count: int) -> list[Any]:
    """The first entries of the solution of M x = right."""
    x = list(right)
    for i in reversed(range(len(tree))):
        for j in tree.above[i]:
            x[j] = x[j] - factors.L[i, j] * x[i]
    for i in range(count):
        x[i] = x[i] * factors.inverses[i]
        for j in tree.above[i]:
            x[i] = x[i] - factors.L[i, j] * x[j]
    return x[:count]


def inverse_of(tree: Tree, factors: Factors) -> Vector:
    """The inverse of the mass matrix (n, n); its lower half is its upper one."""
    n = len(tree)
    found = np.zeros((n, n)).astype(object)
    for j in range(n):
        unit = [0.0] * n
        unit[j] = 1.0
        found[: j + 1, j] = _ended(tree, factors, unit, j + 1)
        found[j, : j + 1] = found[: j + 1, j]
    return found
