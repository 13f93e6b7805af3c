"""ONNX graphs written as arithmetic, in float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import ArrayLike
from onnx import TensorProto, helper, numpy_helper

OPSET, IR_VERSION = 18, 9  # old enough for ONNX Runtime 1.16


class Value:
    """A tensor of a graph; arithmetic on it adds nodes."""

    def __init__(self, builder: Builder, name: str) -> None:
        self.builder, self.name = builder, name

    def __add__(self, other: Value | ArrayLike) -> Value:
        return self.builder.add('Add', self, other)

    def __sub__(self, other: Value | ArrayLike) -> Value:
        return self.builder.add('Sub', self, other)

    def __mul__(self, other: Value | ArrayLike) -> Value:
        return self.builder.add('Mul', self, other)

    def __truediv__(self, other: Value | ArrayLike) -> Value:
        return self.builder.add('Div', self, other)

    def columns(self, start: int, stop: int) -> Value:
        """self[:, start:stop]."""
        bounds = (np.array([number]) for number in (start, stop, 1))
        return self.builder.add('Slice', self, *bounds)

    def sum(self, axis: int) -> Value:
        """The sum along an axis, which stays, with length 1."""
        return self.builder.add('ReduceSum', self, np.array([axis]))


class Builder:
    """A graph in the making."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[tuple[Any, ...], Value] = {}
        self._initializers: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Sequence[int | str]) -> Value:
        """An input; strings name axes of any length."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return Value(self, name)

    def output(self, name: str, value: Value, shape: Sequence[int | str]) -> None:
        """Makes a value an output."""
        self._nodes.append(helper.make_node('Identity', [value.name], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def add(self, op: str, *inputs: Value | ArrayLike, **attributes: Any) -> Value:
        """One operation with one result; arrays of integers are indices."""
        names = [self._as_value(value).name for value in inputs]
        result = Value(self, f'v{len(self._nodes)}')
        self._nodes.append(helper.make_node(op, names, [result.name], **attributes))
        return result

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

    def _as_value(self, value: Value | ArrayLike) -> Value:
        """A value, or an array as a constant that is stored once."""
        if isinstance(value, Value):
            return value
        is_index = isinstance(value, np.ndarray) and value.dtype == np.int64
        array = np.array(value, dtype=np.int64 if is_index else np.float32, order='C')
        key = array.dtype, array.shape, array.tobytes()
        if key not in self._constants:
            name = f'c{len(self._constants)}'
            self._initializers.append(numpy_helper.from_array(array, name))
            self._constants[key] = Value(self, name)
        return self._constants[key]
