"""Machine code of expression graphs: LLVM's intermediate representation, one object file a graph.

The text that LLVM compiles is written here, from checked instructions; an object file is kept in
the user's cache under the hash of the graph, the processor and the versions of the compiler.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding as llvm
from llvmlite import ir

from trc_core.compile.cache import cache_folder
from trc_core.problem.graph import Graph
from trc_core.whole_files import notice_damage, notice_unkept, write_whole

SCALARS = ('dt', 't')  # inputs that are passed as numbers
VERSION = 3  # of the code written here and of the slopes' rules; part of every hash
FLAGS = ('reassoc', 'contract', 'arcp', 'nsz')  # those of the kernels: NaN stays NaN
DOUBLE, POINTER = ir.DoubleType(), ir.DoubleType().as_pointer()
MAGIC = b'trc machine code 1\n'
LIBRARY = {
    **{name: name for name in ('sin', 'cos', 'tan', 'asin', 'acos', 'atan', 'sinh', 'cosh')},
    **{name: name for name in ('tanh', 'asinh', 'acosh', 'atanh', 'exp', 'log', 'pow', 'atan2')},
}
"""Operations that are functions of the C library."""


class MachineCode:
    """Compiled functions, by name; their addresses hold as long as this object does."""

    def __init__(self, content: bytes) -> None:
        names, code = _unpacked(content)
        self._engine = _engine()
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(code))
        self._engine.finalize_object()
        self.addresses = {name: self._engine.get_function_address(name) for name in names}
        """Of every function; 0 is never among them."""
        if not all(self.addresses.values()):
            raise ValueError(f'the object file lacks a function of {list(names)}')


def machine_code(digest: str, functions: Callable[[], Mapping[str, Graph]]) -> MachineCode:
    """The machine code of some graphs, from the cache or made now.

    A function takes one pointer to double for every input of its graph (`dt` and `t` are passed
    as numbers), then one for every output. It reads all inputs before it writes, so that an output
    may be an input.

    Args:
        digest: a hash of all that `functions` returns.
        functions: makes the graphs, by function name; called only if they are not in the cache.
    """
    name = _name(digest)
    if name not in LOADED:
        path = cache_folder() / f'{name}.o'
        LOADED[name] = _kept(path) or _made(path, functions())
    return LOADED[name]


def is_kept(digest: str) -> bool:
    """Whether the machine code of a hash is in the cache."""
    return _name(digest) in LOADED or (cache_folder() / f'{_name(digest)}.o').exists()


LOADED: dict[str, MachineCode] = {}
"""Machine code of this process; kernels hold its addresses, so that it is never let go."""


def _name(digest: str) -> str:
    text = '\0'.join([digest, str(VERSION), *_machine()])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _kept(path: Path) -> MachineCode | None:
    """Machine code from a file; None where there is none that is whole."""
    try:
        return MachineCode(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:  # cut short by a power failure: made again
        notice_damage(path, error)
        return None


def _made(path: Path, functions: Mapping[str, Graph]) -> MachineCode:
    content = _packed(tuple(functions), _object_file(functions))
    try:
        write_whole(path, content)
    except OSError as error:  # a full disk: this process has it all the same
        notice_unkept(path, error)
    return MachineCode(content)


def _packed(names: Sequence[str], code: bytes) -> bytes:
    head = ' '.join(names).encode()
    body = struct.pack('<II', len(head), len(code)) + head + code
    return MAGIC + hashlib.sha256(body).digest() + body


def _unpacked(content: bytes) -> tuple[list[str], bytes]:
    body = content[len(MAGIC) + 32 :]
    if MAGIC + hashlib.sha256(body).digest() != content[: len(MAGIC) + 32]:
        raise ValueError('damaged machine code')
    head, size = struct.unpack('<II', body[:8])
    return body[8 : 8 + head].decode().split(), body[8 + head : 8 + head + size]


def _object_file(functions: Mapping[str, Graph]) -> bytes:
    """The object file of some graphs."""
    _engine()  # from then on LLVM knows the symbols of this process
    module = ir.Module('trc')
    for name, graph in functions.items():
        _Writer(module, name, graph).write()
    machine = _target_machine()
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    options.slp_vectorization = False  # ten times the compile time, and no faster code
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    return bytes(machine.emit_object(parsed))


class _Writer:
    """Writes one graph as a function of an LLVM module."""

    def __init__(self, module: ir.Module, name: str, graph: Graph) -> None:
        self.module, self.graph = module, graph
        arguments = [DOUBLE if entry in SCALARS else POINTER for entry in graph.inputs]
        arguments += [POINTER] * len(graph.outputs)
        kind = ir.FunctionType(ir.VoidType(), arguments)
        self.function = ir.Function(module, kind, name)
        self.builder = ir.IRBuilder(self.function.append_basic_block())

    def write(self) -> None:
        """Loads every input, computes every instruction, stores every output."""
        inputs: list[Any] = []
        for length, argument in zip(self.graph.inputs.values(), self.function.args, strict=False):
            if argument.type == DOUBLE:
                inputs.append(argument)
            else:
                inputs += [self.builder.load(self._entry(argument, k)) for k in range(length)]
        values: list[Any] = []
        for name, *operands in self.graph.instructions:
            if name == 'input':
                values.append(inputs[operands[0]])
            elif name == 'constant':
                values.append(ir.Constant(DOUBLE, float(operands[0])))
            else:
                values.append(self._operation(name, [values[k] for k in operands]))
        outputs = self.function.args[len(self.graph.inputs) :]
        for pointer, places in zip(outputs, self.graph.outputs.values(), strict=True):
            for k, place in enumerate(places):
                self.builder.store(values[place], self._entry(pointer, k))
        self.builder.ret_void()

    def _entry(self, pointer: Any, k: int) -> Any:
        return self.builder.gep(pointer, [ir.Constant(ir.IntType(64), k)])

    def _operation(self, name: str, values: list[Any]) -> Any:
        if name in LIBRARY:
            return self._call(LIBRARY[name], values)
        return WRITERS[name](self, *values)

    def _call(self, name: str, values: list[Any]) -> Any:
        kind = ir.FunctionType(DOUBLE, [DOUBLE] * len(values))
        if name not in self.module.globals:
            if not name.startswith('llvm.') and not llvm.address_of_symbol(name):
                raise ValueError(f"this machine's C library has no function '{name}'")
            ir.Function(self.module, kind, name)
        return self.builder.call(self.module.globals[name], values, fastmath=FLAGS)

    def intrinsic(self, name: str, a: Any) -> Any:
        """One of LLVM's own functions of a double."""
        return self._call(f'llvm.{name}.f64', [a])

    def compare(self, symbol: str, a: Any, b: Any) -> Any:
        """A comparison that does not hold with NaN."""
        return self.builder.fcmp_ordered(symbol, a, b)

    def truth(self, condition: Any) -> Any:
        """1.0 or 0.0."""
        return self.builder.uitofp(condition, DOUBLE)

    def extreme(self, symbol: str, a: Any, b: Any) -> Any:
        """The smaller or the larger, NaN if either is."""
        chosen = self.builder.select(self.compare(symbol, a, b), a, b)
        return self.builder.select(self.builder.fcmp_unordered('uno', a, a), a, chosen)

    def sign(self, a: Any) -> Any:
        """-1, 0 or 1; NaN for NaN."""
        zero, one, less = (ir.Constant(DOUBLE, value) for value in (0.0, 1.0, -1.0))
        negative = self.builder.select(self.compare('<', a, zero), less, a)
        return self.builder.select(self.compare('>', a, zero), one, negative)

    def select(self, condition: Any, a: Any, b: Any) -> Any:
        """A where the condition is not 0."""
        holds = self.builder.fcmp_unordered('!=', condition, ir.Constant(DOUBLE, 0.0))
        return self.builder.select(holds, a, b)


WRITERS: Mapping[str, Callable[..., Any]] = {
    'add': lambda w, a, b: w.builder.fadd(a, b, flags=FLAGS),
    'sub': lambda w, a, b: w.builder.fsub(a, b, flags=FLAGS),
    'mul': lambda w, a, b: w.builder.fmul(a, b, flags=FLAGS),
    'div': lambda w, a, b: w.builder.fdiv(a, b, flags=FLAGS),
    'neg': lambda w, a: w.builder.fneg(a, flags=FLAGS),
    'abs': lambda w, a: w.intrinsic('fabs', a),
    'sqrt': lambda w, a: w.intrinsic('sqrt', a),
    'floor': lambda w, a: w.intrinsic('floor', a),
    'ceil': lambda w, a: w.intrinsic('ceil', a),
    'sign': _Writer.sign,
    'minimum': lambda w, a, b: w.extreme('<', a, b),
    'maximum': lambda w, a, b: w.extreme('>', a, b),
    'less': lambda w, a, b: w.truth(w.compare('<', a, b)),
    'less_equal': lambda w, a, b: w.truth(w.compare('<=', a, b)),
    'equal': lambda w, a, b: w.truth(w.compare('==', a, b)),
    'select': _Writer.select,
}
"""Operations that are instructions of the processor."""


@cache
def _machine() -> tuple[str, ...]:
    """What machine code depends on: the processor and the compiler."""
    features = llvm.get_host_cpu_features().flatten()
    return llvm.get_host_cpu_name(), features, llvmlite.__version__


def _engine() -> Any:
    return llvm.create_mcjit_compiler(llvm.parse_assembly(''), _target_machine())


def _target_machine() -> Any:
    """A target machine of this processor; an engine owns the one that it is given."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    cpu, features, _ = _machine()
    target = llvm.Target.from_default_triple()
    # As Numba has it: code and what it calls may lie farther apart than 2 GB, which LLVM refuses
    # by ending the process.
    reloc = 'static' if target.name.startswith('x86') else 'default'
    return target.create_target_machine(
        cpu, features, opt=3, reloc=reloc, codemodel='jitdefault', jit=True
    )
