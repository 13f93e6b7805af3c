"""Products of small matrices, for kernels.

LLVM vectorises loops for hundreds of turns: rows of 12 numbers end in the scalar rest of such a
loop. Here a product is cut into tiles of 4 or 1 rows by 8, 4, 2 or 1 columns, whose sums stay in
registers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, overload, register_jitable

from trc_core.compile.rows import row

DOUBLE, INDEX = ir.DoubleType(), ir.IntType(64)
HEIGHTS, WIDTHS = (4, 1), (8, 4, 2, 1)  # of tiles
NUMBERS = types.CPointer(types.float64)
ARGUMENTS = types.void(
    *(NUMBERS, NUMBERS, types.float64, NUMBERS, types.intp, NUMBERS), *[types.intp] * 3
)
FLAGS = ('reassoc', 'contract', 'arcp', 'nsz')  # those of the kernels


def add_product(out, base, scale, M, N):
    """Fills out with base + scale M N; base may be out. All are contiguous matrices.

    Of M the first rows and columns count, as many as out and N have rows.
    """
    out[...] = base + scale * (M[: len(out), : len(N)] @ N)


def add_product_of_transposed(out, base, scale, M, N):
    """Fills out with base + scale M' N; base may be out. All are contiguous matrices.

    Of M the first columns count, as many as out has rows; of N the first rows, as many as M has.
    """
    out[...] = base + scale * (M[:, : len(out)].T @ N[: len(M)])


def fill_product(out, M, N):
    """Fills out with M N, as `add_product`."""
    out[...] = M[: len(out), : len(N)] @ N


def add_entries(out, scale, M):
    """Adds scale M to out; both are contiguous matrices."""
    out += scale * M


@overload(add_product, inline='always')
def _(out, base, scale, M, N):
    return lambda out, base, scale, M, N: _product(
        row(out, 0), row(base, 0), scale, row(M, 0), M.shape[1], row(N, 0), *out.shape, N.shape[0]
    )


@overload(add_product_of_transposed, inline='always')
def _(out, base, scale, M, N):
    return lambda out, base, scale, M, N: _product_of_transposed(
        row(out, 0), row(base, 0), scale, row(M, 0), M.shape[1], row(N, 0), *out.shape, M.shape[0]
    )


@overload(fill_product)
def _(out, M, N):
    def fill(out, M, N):
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] = 0.0
        add_product(out, out, 1.0, M, N)

    return fill


@overload(add_entries, inline='always')
def _(out, scale, M):
    return lambda out, scale, M: _sum(row(out, 0), scale, row(M, 0), out.size)


@register_jitable
def _sum(out, scale, M, size):
    """One long loop, which vectorises."""
    for i in range(size):
        out[i] += scale * M[i]


@register_jitable
def _product(out, base, scale, M, width, N, rows, columns, inner):
    """`add_product` of what pointers point to; M is `width` wide."""
    _write_product(out, base, scale, M, width, N, rows, columns, inner)


@register_jitable
def _product_of_transposed(out, base, scale, M, width, N, rows, columns, inner):
    """`add_product_of_transposed` of what pointers point to; M is `width` wide."""
    _write_product_of_transposed(out, base, scale, M, width, N, rows, columns, inner)


@intrinsic
def _write_product(typing_context, out, base, scale, M, width, N, rows, columns, inner):
    return ARGUMENTS, _generate_product


@intrinsic
def _write_product_of_transposed(
    typing_context, out, base, scale, M, width, N, rows, columns, inner
):
    return ARGUMENTS, _generate_product_of_transposed


def _generate_product(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    _Product(builder, arguments, transposed=False).write()
    return context.get_dummy_value()


def _generate_product_of_transposed(
    context: Any, builder: Any, signature: Any, arguments: Any
) -> Any:
    _Product(builder, arguments, transposed=True).write()
    return context.get_dummy_value()


class _Product:
    """Writes a product as loops over tiles."""

    def __init__(self, builder: Any, arguments: Sequence[Any], transposed: bool) -> None:
        self.builder = builder
        self.out, self.base, self.scale, self.M, width, self.N = arguments[:6]
        self.rows, self.columns, self.inner = arguments[6:]
        one = ir.Constant(INDEX, 1)
        self.down, self.along = (one, width) if transposed else (width, one)

    def write(self) -> None:
        """The tiles from left to right, from top to bottom, each as large as there is room."""
        for height, top in self._parts(HEIGHTS, self.rows):
            rows = [self.builder.add(top, ir.Constant(INDEX, i)) for i in range(height)]
            for width, column in self._parts(WIDTHS, self.columns):
                self._tile(rows, column, width)

    def _parts(self, sizes: Sequence[int], count: Any) -> Iterator[tuple[int, Any]]:
        """Loops over 0 to count in steps of each size in turn."""
        first = ir.Constant(INDEX, 0)
        for size in sizes:
            step = ir.Constant(INDEX, size)
            last = self.builder.sub(count, ir.Constant(INDEX, size - 1))
            with cgutils.for_range_slice(self.builder, first, last, step, inc=True) as (place, _):
                yield size, place
            first = self.builder.and_(count, ir.Constant(INDEX, -size))

    def _tile(self, rows: Sequence[Any], column: Any, width: int) -> None:
        """The entries of out in some rows, from a column on."""
        builder = self.builder
        kind = ir.VectorType(DOUBLE, width)
        totals = [cgutils.alloca_once(builder, kind) for _ in rows]
        for total in totals:
            builder.store(ir.Constant(kind, [0.0] * width), total)
        with cgutils.for_range(builder, self.inner) as loop:
            b = builder.load(self._vector(self.N, loop.index, column, width), align=8)
            for i, total in zip(rows, totals, strict=True):
                place = builder.add(builder.mul(i, self.down), builder.mul(loop.index, self.along))
                a = builder.load(builder.gep(self.M, [place]))
                product = builder.fmul(self._repeated(a, width), b, flags=FLAGS)
                builder.store(builder.fadd(builder.load(total), product, flags=FLAGS), total)
        scale = self._repeated(self.scale, width)
        for i, total in zip(rows, totals, strict=True):
            base = builder.load(self._vector(self.base, i, column, width), align=8)
            scaled = builder.fmul(scale, builder.load(total), flags=FLAGS)
            place = self._vector(self.out, i, column, width)
            builder.store(builder.fadd(base, scaled, flags=FLAGS), place, align=8)

    def _vector(self, matrix: Any, row: Any, column: Any, width: int) -> Any:
        """The pointer to a part of a row of a matrix as wide as out."""
        place = self.builder.add(self.builder.mul(row, self.columns), column)
        kind = ir.VectorType(DOUBLE, width).as_pointer()
        return self.builder.bitcast(self.builder.gep(matrix, [place]), kind)

    def _repeated(self, value: Any, width: int) -> Any:
        """A vector of the same number."""
        nothing = ir.Constant(ir.VectorType(DOUBLE, width), ir.Undefined)
        single = self.builder.insert_element(nothing, value, ir.Constant(INDEX, 0))
        mask = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
        return self.builder.shuffle_vector(single, nothing, mask)
