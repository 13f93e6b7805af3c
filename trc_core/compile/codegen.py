"""Physics written once in SymPy, turned into NumPy/Numba source, PyTorch and CasADi functions.

The NumPy/Numba source of shipped systems is committed in `generated/` (`python -m
trc_core.compile.codegen` writes it again), so that a robot needs no SymPy.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import sympy as sp
from sympy.printing.pycode import pycode

from trc_core.compile.kernels import GENERATED, SHIPPED, signature
from trc_core.problem.system import System

HALF = sp.Rational(1, 2)
RK4_STAGES = ((None, 0), (1, HALF), (2, HALF), (3, 1))  # (previous stage, fraction of dt)
HEADER = '''"""Generated from the dynamics of `{stem}` by `trc_core/compile/codegen.py`."""

{imports}from numba.extending import register_jitable

SIGNATURE = {signature}

'''


def symbols(system: System) -> tuple[list[sp.Symbol], list[sp.Symbol], list[sp.Symbol]]:
    """Symbols of the state, the control and the parameters."""
    x = [sp.Symbol(f'x{i}', real=True) for i in range(system.n_x)]
    u = [sp.Symbol(f'u{i}', real=True) for i in range(system.n_u)]
    return x, u, [sp.Symbol(name, real=True) for name in system.parameters]


def symbolic_dynamics(system: System) -> list[sp.Expr]:
    """The time derivative of x as SymPy expressions, one per state.

    Raises:
        ValueError: if the dynamics fail, return anything but one expression per state, or use a
            symbol that is neither a state, a control nor a parameter.
    """
    x, u, p = symbols(system)
    try:
        f = [sp.sympify(e) for e in system.dynamics(x, u, **{str(s): s for s in p})]
    except (Exception, SystemExit) as error:
        # whatever a user's dynamics raise is his message; ours says where
        _, *inside = traceback.extract_tb(error.__traceback__)
        where = f' in line {inside[0].lineno}' if inside else ''
        raise ValueError(
            f"dynamics of '{system.name}' fail on SymPy symbols{where}: "
            f'{type(error).__name__}: {" ".join(str(error).split())}'
        ) from error
    if len(f) != system.n_x:
        raise ValueError(
            f"dynamics of '{system.name}' returns {len(f)} expressions, expected {system.n_x}"
        )
    other = [e for e in f if not isinstance(e, sp.Expr)]
    if other:
        raise ValueError(f"dynamics of '{system.name}' returns {other[0]}, which is no number")
    strange = set().union(*(e.free_symbols for e in f)) - {*x, *u, *p}
    if strange:
        raise ValueError(
            f"dynamics of '{system.name}' uses unknown symbols {sorted(map(str, strange))}; "
            f'declare them in parameters'
        )
    return f


def numba_source(system: System) -> str:
    """Source of `dynamics`, `step` (RK4) and `step_jacobian`: scalar, straight-line code.

    It runs as plain Python and compiles under Numba when a compiled function calls it.
    """
    x, u, p = symbols(system)
    f = symbolic_dynamics(system)
    jacobian = sp.Matrix(f).jacobian([*x, *u])
    varying = {
        (r, c): jacobian[r, c]
        for r in range(system.n_x)
        for c in range(system.n_x + system.n_u)
        if not jacobian[r, c].is_number
    }
    arguments = ', '.join(map(str, [*x, *u, *p]))
    blocks = [
        _function('dynamics', arguments, f),
        _function('jacobian', arguments, list(varying.values())) if varying else None,
        _step_source(system, arguments),
        _step_jacobian_source(system, jacobian, varying, arguments),
    ]
    body = '\n\n'.join(block for block in blocks if block)
    imports = 'import math\n\n' if 'math.' in body else ''
    package, _, stem = system.dynamics.__module__.rpartition('.')
    # a user's module is named after every byte of its file, of which comments change no code
    stem = stem if package == SHIPPED else system.name
    return HEADER.format(stem=stem, imports=imports, signature=signature(system)) + '\n' + body


def _function(name: str, arguments: str, expressions: list[sp.Expr]) -> str:
    temporaries, results = sp.cse(expressions, symbols=sp.numbered_symbols('s'))
    lines = [f'    {s} = {pycode(e)}' for s, e in temporaries]
    values = ', '.join(pycode(e) for e in results) + (',' if len(results) == 1 else '')
    lines.append(f'    return ({values})')
    return _definition(name, arguments, lines)


def _definition(name: str, arguments: str, lines: Iterable[str]) -> str:
    return '\n'.join(['@register_jitable', f'def {name}({arguments}):', *lines, ''])


def _unpack(system: System) -> list[str]:
    return (
        [f'    x{i} = x[{i}]' for i in range(system.n_x)]
        + [f'    u{i} = u[{i}]' for i in range(system.n_u)]
        + [f'    {name} = p[{i}]' for i, name in enumerate(system.parameters)]
    )


def _stage_lines(system: System, arguments: str) -> list[str]:
    """The four slopes k1..k4 of RK4 and the states y2..y4 at which they are taken."""
    n, rest = system.n_x, arguments.split(', ')[system.n_x :]
    lines = []
    for stage, (previous, fraction) in enumerate(RK4_STAGES, start=1):
        state = [f'x{i}' for i in range(n)]
        if previous is not None:
            weight = 'dt' if fraction == 1 else f'{float(fraction)} * dt'
            state = [f'y{stage}_{i}' for i in range(n)]
            lines += [f'    y{stage}_{i} = x{i} + {weight} * k{previous}_{i}' for i in range(n)]
        left = ', '.join(f'k{stage}_{i}' for i in range(n)) + (',' if n == 1 else '')
        lines.append(f'    {left} = dynamics({", ".join([*state, *rest])})')
    return lines


def _step_source(system: System, arguments: str) -> str:
    combine = [
        f'    x_next[{i}] = x{i} + dt / 6.0 * (k1_{i} + 2.0 * (k2_{i} + k3_{i}) + k4_{i})'
        for i in range(system.n_x)
    ]
    lines = [*_unpack(system), *_stage_lines(system, arguments), *combine]
    return _definition('step', 'x, u, p, dt, x_next', lines)


def _step_jacobian_source(
    system: System, jacobian: sp.Matrix, varying: dict[tuple[int, int], Any], arguments: str
) -> str:
    """D step / d(x, u) by the chain rule through the four stages, zeros and ones folded."""
    n, columns = system.n_x, system.n_x + system.n_u
    lines = [*_unpack(system), *_stage_lines(system, arguments)]
    slopes: list[sp.Matrix] = []
    for stage, (previous, fraction) in enumerate(RK4_STAGES, start=1):
        local, call = _stage_jacobian(stage, jacobian, varying, arguments, n)
        lines += call
        slope = local
        if previous is not None:
            weight = fraction * sp.Symbol('dt')
            slope = local + local[:, :n] * weight * slopes[previous - 1]
        slopes.append(sp.zeros(n, columns))
        for r in range(n):
            for c in range(columns):
                entry = sp.Symbol(f'd{stage}_{r}_{c}')
                atom = slope[r, c].is_number or slope[r, c].is_Symbol
                slopes[-1][r, c] = slope[r, c] if atom else entry
                lines += [] if atom else [f'    {entry} = {pycode(slope[r, c])}']
    total = sp.Symbol('dt') / 6 * (slopes[0] + 2 * slopes[1] + 2 * slopes[2] + slopes[3])
    for r in range(n):
        for c in range(columns):
            target = f'A[{r}, {c}]' if c < n else f'B[{r}, {c - n}]'
            lines.append(f'    {target} = {pycode(total[r, c] + int(r == c))}')
    return _definition('step_jacobian', 'x, u, p, dt, A, B', lines)


def _stage_jacobian(
    stage: int, jacobian: sp.Matrix, varying: dict[tuple[int, int], Any], arguments: str, n: int
) -> tuple[sp.Matrix, list[str]]:
    if not varying:
        return jacobian, []
    names = {position: f'j{stage}_{position[0]}_{position[1]}' for position in varying}
    local = jacobian.copy()
    for position, name in names.items():
        local[position] = sp.Symbol(name)
    state = [f'x{i}' if stage == 1 else f'y{stage}_{i}' for i in range(n)]
    rest = arguments.split(', ')[n:]
    left = ', '.join(names.values()) + (',' if len(names) == 1 else '')
    return local, [f'    {left} = jacobian({", ".join([*state, *rest])})']


def rk4(f: Callable[[Any, Any], Any], x: Any, u: Any, dt: float) -> Any:
    """One step of the classical Runge-Kutta method with u held, for any algebra."""
    k1 = f(x, u)
    k2 = f(x + 0.5 * dt * k1, u)
    k3 = f(x + 0.5 * dt * k2, u)
    k4 = f(x + dt * k3, u)
    return x + dt / 6.0 * (k1 + 2.0 * (k2 + k3) + k4)


def _numeric_dynamics(system: System, library: Any) -> Callable[..., Any]:
    """dx/dt of scalars (x..., u...) in the functions of a library, parameters put in."""
    x, u, p = symbols(system)
    values = dict(zip(p, system.parameters.values(), strict=True))
    expressions = [e.subs(values) for e in symbolic_dynamics(system)]
    return sp.lambdify([*x, *u], expressions, modules=library, cse=True)


def torch_step(system: System) -> Callable[[Any, Any], Any]:
    """Differentiable batched `step(x (..., n_x), u (..., n_u)) -> (..., n_x)` in PyTorch."""
    import torch

    f = _numeric_dynamics(system, torch)

    def derivative(x: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
        terms = f(*x.unbind(-1), *u.unbind(-1))
        zero = torch.zeros_like(x[..., 0] + u[..., 0])
        return torch.stack([zero + term for term in terms], dim=-1)

    return lambda x, u: rk4(derivative, x, u, system.dt)


def casadi_step(system: System) -> Any:
    """`casadi.Function` step(x, u) -> x_next."""
    import casadi as ca

    f = _numeric_dynamics(system, ca)
    state, control = ca.SX.sym('x', system.n_x), ca.SX.sym('u', system.n_u)

    def derivative(x: Any, u: Any) -> Any:
        return ca.vertcat(*f(*ca.vertsplit(x), *ca.vertsplit(u)))

    step = rk4(derivative, state, control, system.dt)
    return ca.Function('step', [state, control], [step], ['x', 'u'], ['x_next'])


def shipped_sources(systems: Iterable[System]) -> dict[Path, str]:
    """The committed files and what should be in them; systems may share their dynamics."""
    return {
        GENERATED / f'{system.dynamics.__module__.rpartition(".")[2]}.py': numba_source(system)
        for system in systems
    }


def main() -> None:
    """Writes the committed source of every shipped system again."""
    from trc_core.systems import SYSTEMS

    for path, source in shipped_sources(SYSTEMS.values()).items():
        path.write_text(source)
        print(path)


if __name__ == '__main__':
    main()
