"""Calls of compiled functions that take one vector and give one, for kernels.

Kernels that run as plain Python are handed Python functions in the place of addresses.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from trc_core.compile.rows import row


def call_packed(function, arguments, results, t):
    """Calls a function of contiguous arguments (n,), which fills row t of results (N, m)."""
    function(arguments, results[t])


@overload(call_packed, inline='always')
def _(function, arguments, results, t):
    return lambda function, arguments, results, t: _call(
        function, row(arguments, 0), row(results, t)
    )


@intrinsic
def _call(typing_context, function, a, b):
    return types.void(function, a, b), _generate


def _generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """The call of the function at an address."""
    address, *values = arguments
    kind = ir.FunctionType(ir.VoidType(), [value.type for value in values])
    builder.call(builder.inttoptr(address, kind.as_pointer()), values)
    return context.get_dummy_value()
