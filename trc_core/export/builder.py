"""ONNX graphs written as arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import helper, numpy_helper

OPSET, IR_VERSION = 18, 9  # old enough for ONNX Runtime 1.16


class Value:
    """A tensor of a graph; arithmetic on it adds nodes. Numbers take its type."""

    def __init__(self, builder: Builder, name: str, dtype: Any) -> None:
        self.builder, self.name, self.dtype = builder, name, np.dtype(dtype)

    def __add__(self, other: Value | ArrayLike) -> Value:
        return self.builder.add('Add', self, other)

    def __sub__(self, other: Value | ArrayLike) -> Value:
        return self.builder.add('Sub', self, other)

    def __mul__(self, other: Value | ArrayLike) -> Value:
        return self.builder.add('Mul', self, other)

    def __truediv__(self, other: Value | ArrayLike) -> Value:
        return self.builder.add('Div', self, other)

    def __matmul__(self, other: Value | ArrayLike) -> Value:
        return self.builder.add('MatMul', self, other)

    def __lt__(self, other: Value | ArrayLike) -> Value:
        return self.builder.add('Less', self, other, dtype=bool)

    def __le__(self, other: Value | ArrayLike) -> Value:
        return self.builder.add('LessOrEqual', self, other, dtype=bool)

    def __and__(self, other: Value | ArrayLike) -> Value:
        return self.builder.add('And', self, other)

    def __or__(self, other: Value | ArrayLike) -> Value:
        return self.builder.add('Or', self, other)

    def __invert__(self) -> Value:
        return self.builder.add('Not', self)

    def equals(self, other: Value | ArrayLike) -> Value:
        """Element by element."""
        return self.builder.add('Equal', self, other, dtype=bool)

    def cast(self, dtype: Any) -> Value:
        """The same numbers in another type."""
        to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.builder.add('Cast', self, to=to, dtype=dtype)

    def reshape(self, *shape: int) -> Value:
        """A 0 keeps the axis, -1 is computed."""
        return self.builder.add('Reshape', self, np.array(shape))

    @property
    def shape(self) -> Value:
        return self.builder.add('Shape', self, dtype=np.int64)

    def like(self, other: Value) -> Value:
        """The same numbers in the shape of another."""
        return self.builder.add('Reshape', self, other.shape)

    def rows(self, rows: Value) -> Value:
        """Rows by index."""
        return self.builder.add('Gather', self, rows, axis=0)

    def columns(self, start: int, stop: int) -> Value:
        """self[:, start:stop]."""
        bounds = (np.array([number]) for number in (start, stop, 1))
        return self.builder.add('Slice', self, *bounds)

    def split(self, count: int, axis: int = 1) -> list[Value]:
        """Equal pieces along an axis."""
        return self.builder.nodes_of(
            'Split', [self], [self.dtype] * count, axis=axis, num_outputs=count
        )

    def sum(self, axis: int) -> Value:
        """Keeps the axis, with length 1."""
        return self.builder.add('ReduceSum', self, np.array([axis]))

    def any(self) -> Value:
        """Whether any is true, as a scalar."""
        return self.builder.add('ReduceMax', self.cast(np.int32), keepdims=0).cast(bool)


class Builder:
    """A graph in the making."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[Any, ...], Value] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._count = 0

    def input(self, name: str, dtype: Any, shape: Sequence[int | str]) -> Value:
        """An input; strings name axes of any length."""
        self._inputs.append(_info(name, dtype, shape))
        return Value(self, name, dtype)

    def output(self, name: str, value: Value, shape: Sequence[int | str]) -> None:
        """Makes a value an output."""
        self._nodes.append(helper.make_node('Identity', [value.name], [name]))
        self._outputs.append(_info(name, value.dtype, shape))

    def constant(self, number: ArrayLike, dtype: Any) -> Value:
        """An array, stored once."""
        array = np.ascontiguousarray(number, dtype=dtype).reshape(np.shape(number))
        key = array.dtype, array.shape, array.tobytes()
        if key not in self._constants:
            name = f'c{len(self._constants)}'
            self._initializers.append(numpy_helper.from_array(array, name))
            self._constants[key] = Value(self, name, dtype)
        return self._constants[key]

    def add(
        self, op: str, *inputs: Value | ArrayLike, dtype: Any = None, **attributes: Any
    ) -> Value:
        """One operation with one result, of the first input's type unless told otherwise."""
        first = inputs[0]
        assert isinstance(first, Value)
        given = [first, *(self._as_value(value, first.dtype) for value in inputs[1:])]
        return self.nodes_of(op, given, [first.dtype if dtype is None else dtype], **attributes)[0]

    def nodes_of(
        self, op: str, inputs: Sequence[Value], dtypes: Sequence[Any], **attributes: Any
    ) -> list[Value]:
        """One operation with a result for each of `dtypes`."""
        results = [Value(self, self._name(), dtype) for dtype in dtypes]
        names = [value.name for value in inputs], [result.name for result in results]
        self._nodes.append(helper.make_node(op, *names, **attributes))
        return results

    def concat(self, values: Sequence[Value], axis: int = 1) -> Value:
        """Values side by side."""
        return self.nodes_of('Concat', values, [values[0].dtype], axis=axis)[0]

    def where(self, condition: Value, value: Value, other: Value | ArrayLike) -> Value:
        """Element by element."""
        inputs = [condition, value, self._as_value(other, value.dtype)]
        return self.nodes_of('Where', inputs, [value.dtype])[0]

    def loop(
        self,
        count: Value,
        carried: Sequence[Value],
        body: Callable[..., tuple[Value, list[Value]]],
    ) -> list[Value]:
        """Repeats `body` at most `count` times, until it says that it is done.

        Args:
            count: scalar int64.
            carried: goes into the first iteration.
            body: (iteration, *carried) to (whether to go on, carried).
        """
        dtypes = [value.dtype for value in carried]
        inputs = [Value(self, self._name(), d) for d in (np.int64, np.bool_, *dtypes)]
        iteration, _, *inner = inputs
        infos = [_info(v.name, v.dtype, ()) for v in inputs[:2]]
        infos += [_info(v.name, v.dtype, None) for v in inner]
        graph = self._subgraph(lambda: _flat(body(iteration, *inner)), infos)
        go = self.constant(True, bool)
        return self.nodes_of('Loop', [count, go, *carried], dtypes, body=graph)

    def branch(
        self, condition: Value, then: Callable[[], list[Value]], otherwise: list[Value]
    ) -> list[Value]:
        """What `then` computes where a scalar is true, else `otherwise`."""
        copies = lambda: [self.add('Identity', value) for value in otherwise]  # noqa: E731
        branches = {
            'then_branch': self._subgraph(then, []),
            'else_branch': self._subgraph(copies, []),
        }
        return self.nodes_of('If', [condition], [value.dtype for value in otherwise], **branches)

    def model(self, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The whole, checked."""
        graph = helper.make_graph(
            self._nodes, 'trc', self._inputs, self._outputs, self._initializers
        )
        opset = [helper.make_opsetid('', OPSET)]
        model = helper.make_model(
            graph, producer_name='trc', opset_imports=opset, ir_version=IR_VERSION
        )
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model)
        return model

    def _subgraph(
        self, content: Callable[[], list[Value]], inputs: Sequence[onnx.ValueInfoProto]
    ) -> onnx.GraphProto:
        outer, self._nodes = self._nodes, []
        results = [self.add('Identity', value) for value in content()]
        nodes, self._nodes = self._nodes, outer
        outputs = [_info(value.name, value.dtype, None) for value in results]
        return helper.make_graph(nodes, self._name(), inputs, outputs)

    def _as_value(self, value: Value | ArrayLike, dtype: Any) -> Value:
        if isinstance(value, Value):
            return value
        is_index = isinstance(value, np.ndarray) and value.dtype == np.int64
        return self.constant(value, np.int64 if is_index else dtype)

    def _name(self) -> str:
        self._count += 1
        return f'v{self._count}'


def _flat(result: tuple[Value, list[Value]]) -> list[Value]:
    return [result[0], *result[1]]


def _info(name: str, dtype: Any, shape: Sequence[int | str] | None) -> onnx.ValueInfoProto:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return helper.make_tensor_value_info(name, element, shape)
