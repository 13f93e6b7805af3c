"""The steps of a program by machine code, for dynamics that are too long to be written out in it.

CasADi is handed values, exact slopes, and the second slopes of multipliers times steps, which
are differences of exact slopes: an interior-point method converges to the same optimum with
curvature that is right to nine digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import casadi as ca
import numpy as np

from trc_core.compile.binding import plant_of
from trc_core.compile.kernels import compiled
from trc_core.compile.plant import with_parameters
from trc_core.problem.system import Array, System
from trc_core.solvers.step_kernels import step_curvature, step_slopes, take_steps

Evaluate = Callable[[Sequence[Any]], list[Any]]


def compiled_steps(system: System) -> Any:
    """`casadi.Callback` steps(x (n_x, T), u (n_u, T), p) -> x_next (n_x, T).

    The slopes by the parameters p (n_p,) are taken for 0: no program asks for them. CasADi does
    not keep callbacks alive; whoever holds the program holds this, too.
    """
    return _Steps(system).function()


class _Called(ca.Callback):
    """A function of CasADi that is computed elsewhere.

    Args:
        name: for messages.
        inputs: the shapes of what it takes, as sparsities.
        outputs: of what it returns.
        evaluate: computes the outputs.
        slopes: the sparsities of every output by every input.
        jacobian: computes those slopes, output by output.
        reverse: makes the function that pulls multipliers of the outputs back to the inputs.
    """

    def __init__(
        self,
        name: str,
        inputs: list[Any],
        outputs: list[Any],
        evaluate: Evaluate,
        slopes: list[list[Any]] | None = None,
        jacobian: Evaluate | None = None,
        reverse: Callable[[str], Any] | None = None,
    ) -> None:
        super().__init__()
        self._inputs, self._outputs, self._evaluate = inputs, outputs, evaluate
        self._slopes, self._jacobian, self._reverse = slopes, jacobian, reverse
        self._kept: list[Any] = []
        self.construct(name, {})

    # What CasADi asks for, by its own names.

    def get_n_in(self) -> int:
        """How many inputs."""
        return len(self._inputs)

    def get_n_out(self) -> int:
        """How many outputs."""
        return len(self._outputs)

    def get_sparsity_in(self, i: int) -> Any:
        """The shape of an input."""
        return self._inputs[i]

    def get_sparsity_out(self, i: int) -> Any:
        """The shape of an output."""
        return self._outputs[i]

    def eval(self, arguments: Sequence[Any]) -> list[Any]:
        """The outputs."""
        return self._evaluate(arguments)

    def has_jac_sparsity(self, output: int, entry: int) -> bool:
        """Whether `get_jac_sparsity` answers."""
        return self._slopes is not None

    def get_jac_sparsity(self, output: int, entry: int, symmetric: bool) -> Any:
        """Where the slopes of an output by an input are not 0."""
        assert self._slopes is not None
        return self._slopes[output][entry]

    def has_jacobian(self) -> bool:
        """Whether `get_jacobian` answers."""
        return self._jacobian is not None

    def get_jacobian(self, name: str, *_: Any) -> Any:
        """The function of the slopes, which takes the outputs as well."""
        assert self._slopes is not None and self._jacobian is not None
        flat = [sparsity for row in self._slopes for sparsity in row]
        made = _Called(name, [*self._inputs, *self._outputs], flat, self._jacobian)
        self._kept.append(made)
        return made

    def has_reverse(self, count: int) -> bool:
        """Whether `get_reverse` answers for so many directions at once."""
        return self._reverse is not None and count == 1

    def get_reverse(self, count: int, name: str, *_: Any) -> Any:
        """The function that pulls multipliers back."""
        assert self._reverse is not None
        made = self._reverse(name)
        self._kept.append(made)
        return made


class _Steps:
    """The steps of a system as functions of CasADi."""

    def __init__(self, system: System) -> None:
        self._plant = plant_of(system)
        self.T, self.n_x, self.n_u = system.horizon, system.n_x, system.n_u
        self.n_p = len(system.parameters)
        self._taken = [
            ca.Sparsity.dense(self.n_x, self.T),
            ca.Sparsity.dense(self.n_u, self.T),
            ca.Sparsity.dense(self.n_p, 1),
        ]

    def function(self) -> Any:
        """The steps."""
        slopes = [[self._blocks(self.n_x, self.n_x), self._blocks(self.n_x, self.n_u)]]
        slopes[0].append(ca.Sparsity(self.n_x * self.T, self.n_p))

        def jacobian(arguments: Sequence[Any]) -> list[Any]:
            A, B = self._slopes(arguments)
            return [_diagonal(A), _diagonal(B), ca.DM(slopes[0][2])]

        return _Called(
            'steps', self._taken, self._taken[:1], self._values, slopes, jacobian, self._reverse
        )

    def _reverse(self, name: str) -> Any:
        """(x, u, p, x_next, multipliers) -> multipliers times the slopes by x, u and p."""
        sizes, states = (self.n_x, self.n_u), self._taken[0]
        rows = (self.n_x * self.T, self.n_u * self.T, self.n_p)
        columns = (*rows, rows[0], rows[0])
        slopes = [[ca.Sparsity(r, c) for c in columns] for r in rows]
        for i, size in enumerate(sizes):
            slopes[i][:2] = [self._blocks(size, other) for other in sizes]
            slopes[i][4] = self._blocks(size, self.n_x)

        def evaluate(arguments: Sequence[Any]) -> list[Any]:
            A, B = self._slopes(arguments)
            pulled = [np.einsum('tij,ti->jt', M, self._rows(arguments[4])) for M in (A, B)]
            return [*map(ca.DM, pulled), ca.DM.zeros(self.n_p, 1)]

        def jacobian(arguments: Sequence[Any]) -> list[Any]:
            M, H = self._slopes(arguments), self._curvature(arguments)
            found = [[ca.DM(sparsity) for sparsity in row] for row in slopes]
            cuts = (slice(0, self.n_x), slice(self.n_x, None))
            for i, cut in enumerate(cuts):
                found[i][:2] = [_diagonal(H[:, cut, other]) for other in cuts]
                found[i][4] = _diagonal(M[i].transpose(0, 2, 1))
            return [entry for row in found for entry in row]

        inputs = [*self._taken, states, states]
        return _Called(name, inputs, self._taken, evaluate, slopes, jacobian)

    def _blocks(self, rows: int, columns: int) -> Any:
        """T full blocks along a diagonal."""
        return ca.diagcat(*[ca.Sparsity.dense(rows, columns)] * self.T)

    def _rows(self, columns: Any) -> Array:
        return np.ascontiguousarray(np.array(columns).T)

    def _at(self, arguments: Sequence[Any]) -> tuple[Any, Array, Array]:
        """The plant with the parameters, x (T, n_x) and u (T, n_u)."""
        x, u, p = arguments[:3]
        plant = with_parameters(self._plant, np.array(p).reshape(self.n_p))
        return plant, self._rows(x), self._rows(u)

    def _values(self, arguments: Sequence[Any]) -> list[Any]:
        plant, x, u = self._at(arguments)
        x_next = np.empty_like(x)
        compiled(take_steps)(plant, x, u, x_next)
        return [ca.DM(x_next.T)]

    def _slopes(self, arguments: Sequence[Any]) -> tuple[Array, Array]:
        plant, x, u = self._at(arguments)
        A, B = (np.empty((self.T, self.n_x, n)) for n in (self.n_x, self.n_u))
        compiled(step_slopes)(plant, x, u, A, B)
        return A, B

    def _curvature(self, arguments: Sequence[Any]) -> Array:
        plant, x, u = self._at(arguments)
        n = self.n_x + self.n_u
        H = np.empty((self.T, n, n))
        compiled(step_curvature)(plant, x, u, self._rows(arguments[4]), H)
        return H


def _diagonal(blocks: Array) -> Any:
    """A matrix with blocks (T, r, c) along its diagonal; CasADi's entries go column by column."""
    T, rows, columns = blocks.shape
    sparsity = ca.diagcat(*[ca.Sparsity.dense(rows, columns)] * T)
    return ca.DM(sparsity, blocks.transpose(0, 2, 1).ravel())
