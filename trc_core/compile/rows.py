"""Pointers to the rows of arrays, for kernels."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


@intrinsic
def row(typing_context, array, t):
    """The pointer to row t of a contiguous array of doubles; a typing error for any other."""
    contiguous = getattr(array, 'layout', '') == 'C' and array.dtype == types.float64
    if not contiguous or not isinstance(t, types.Integer):
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        struct = cgutils.create_struct_proxy(array)(context, builder, arguments[0])
        if array.ndim == 1:
            return struct.data
        index = context.cast(builder, arguments[1], t, types.intp)
        width = builder.extract_value(struct.shape, 1)
        return builder.gep(struct.data, [builder.mul(index, width)])

    return types.CPointer(types.float64)(array, t), generate
