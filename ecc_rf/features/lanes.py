"""Eight (or sixteen) voxels at a time: vectors of float32 inside compiled code.

A numba function sees a vector as one value::

    a = load(row, i)                     row:  . . i i+1 ... i+7 . .
    b = load(row, i + 1)                            |  |        |
    store(row, j, fma(splat(k), a + b, c))          lanes 0, 1 ... 7

Why not leave it to the compiler's own vectoriser: every operation here is one IEEE operation in every lane and
nothing is fused, reordered or approximated, so a voxel's value does not depend on where in a vector, a row or
a block it lies, nor on the width of the machine's registers. `fma` is the fused multiply-add, rounded once,
on every machine (in hardware where there is one).

Memory is passed as plain addresses (`address`), a `Buffer` of float32 or a `Table` of int64. Compiled functions call
each other for every row, and counting references to arrays in each of those calls took longer than filtering the
row. Indices are not checked: the callers' buffers have room, and the Python side keeps them alive.
"""

from __future__ import annotations

import operator
from typing import Any

import llvmlite.binding
import numba.extending
import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import lower_builtin, models, register_model, type_callable

LANES = 16 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 8
"""Voxels in a vector: as many as fit the widest common registers; narrower ones are used in pairs."""

Buffer = int
"""Address of float32 values."""

Table = int
"""Address of int64 values."""

NO: Any = np.bool_(False)
NONE: Any = np.int64(0)
NEXT: Any = np.int64(1)
"""Constants for arguments: literals would be types of their own, for which numba compiles a function once more."""

# what numba makes of a function takes and gives anything, as far as the type checker is concerned
intrinsic: Any = numba.extending.intrinsic
_njit: Any = njit
_lower_builtin: Any = lower_builtin

compiled = _njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Decorator of functions that only compiled functions call."""

compiled_inline = _njit(forceinline=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Decorator of small functions that become part of their callers."""

compiled_in_place = _njit(inline="always", no_cpython_wrapper=True, no_cfunc_wrapper=True)
"""Decorator of larger functions with one or two callers: compiled with them, not once more for themselves."""

_FLOAT = ir.FloatType()
_VECTOR = ir.VectorType(_FLOAT, LANES)
_BITS = ir.VectorType(ir.IntType(32), LANES)


class LanesType(types.Type):
    """Type of a vector of `LANES` float32."""

    def __init__(self) -> None:
        super().__init__(name=f"Lanes{LANES}")


lanes = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: LanesType) -> None:
        super().__init__(dmm, fe_type, _VECTOR)  # type: ignore[no-untyped-call]


def _operator(function: Any, instruction: str) -> None:
    """Let `function` of two vectors be one LLVM instruction."""

    @type_callable(function)
    def _type(context: Any) -> Any:
        return lambda a, b: lanes if isinstance(a, LanesType) and isinstance(b, LanesType) else None

    @_lower_builtin(function, LanesType, LanesType)
    def _lower(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args)


_operator(operator.add, "fadd")
_operator(operator.sub, "fsub")
_operator(operator.mul, "fmul")
_operator(operator.truediv, "fdiv")


def address(array: np.ndarray) -> int:
    """Where the values of a contiguous float32 or int64 array are; the caller keeps the array."""
    if array.dtype not in (np.float32, np.int64) or not array.flags.c_contiguous:
        raise TypeError(f"not a contiguous array of float32 or int64: {array.dtype}, strides {array.strides}")
    return int(array.ctypes.data)


def _pointer(builder: Any, kind: Any, address: Any, index: Any) -> Any:
    """Pointer to element `index` of the buffer or table at `address`."""
    return builder.gep(builder.inttoptr(address, kind.as_pointer()), [index])


def _vector_pointer(builder: Any, address: Any, index: Any) -> Any:
    return builder.bitcast(_pointer(builder, _FLOAT, address, index), _VECTOR.as_pointer())


@intrinsic
def load(typingctx: Any, buffer: Any, index: Any) -> Any:
    """Vector at ``buffer[index:]``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_vector_pointer(builder, *args), align=4)

    return lanes(types.intp, types.intp), codegen


@intrinsic
def store(typingctx: Any, buffer: Any, index: Any, vector: Any) -> Any:
    """Write a vector to ``buffer[index:]``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _vector_pointer(builder, *args[:2]), align=4)
        return context.get_dummy_value()

    return types.none(types.intp, types.intp, lanes), codegen


@intrinsic
def get(typingctx: Any, buffer: Any, index: Any) -> Any:
    """The float32 ``buffer[index]``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(builder, _FLOAT, *args))

    return types.float32(types.intp, types.intp), codegen


@intrinsic
def put(typingctx: Any, buffer: Any, index: Any, value: Any) -> Any:
    """Write a float32 to ``buffer[index]``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _pointer(builder, _FLOAT, *args[:2]))
        return context.get_dummy_value()

    return types.none(types.intp, types.intp, types.float32), codegen


@intrinsic
def entry(typingctx: Any, table: Any, index: Any) -> Any:
    """The int64 ``table[index]``."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(builder, ir.IntType(64), *args))

    return types.int64(types.intp, types.intp), codegen


@intrinsic
def splat(typingctx: Any, value: Any) -> Any:
    """The same float32 in every lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), args[0], ir.IntType(32)(0))
        zeros = ir.Constant(_BITS, [0] * LANES)
        return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), zeros)

    return lanes(types.float32), codegen


def _llvm_function(builder: Any, name: str, count: int) -> Any:
    kind = ir.FunctionType(_VECTOR, [_VECTOR] * count)
    insert: Any = cgutils.get_or_insert_function
    return insert(builder.module, kind, f"llvm.{name}.v{LANES}f32")


def _call(name: str, count: int) -> Any:
    """Code generator that calls an LLVM intrinsic of `count` vectors."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.call(_llvm_function(builder, name, count), args)

    return lanes(*[lanes] * count), codegen


@intrinsic
def fma(typingctx: Any, a: Any, b: Any, c: Any) -> Any:
    """``a b + c``, rounded once."""
    return _call("fma", 3)


@intrinsic
def sqrt(typingctx: Any, a: Any) -> Any:
    """Square root, correctly rounded."""
    return _call("sqrt", 1)


@intrinsic
def absolute(typingctx: Any, a: Any) -> Any:
    """Value without its sign."""
    return _call("fabs", 1)


@intrinsic
def negative(typingctx: Any, a: Any) -> Any:
    """Value with its sign turned."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.fneg(args[0])

    return lanes(lanes), codegen


@intrinsic
def where_less(typingctx: Any, a: Any, b: Any, yes: Any, no: Any) -> Any:
    """`yes` in the lanes where ``a < b``, `no` in the others."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(builder.fcmp_ordered("<", args[0], args[1]), args[2], args[3])

    return lanes(lanes, lanes, lanes, lanes), codegen


@intrinsic
def where_zero(typingctx: Any, a: Any, yes: Any, no: Any) -> Any:
    """`yes` in the lanes where `a` is 0 (of either sign), `no` in the others."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zero = ir.Constant(_VECTOR, [0.0] * LANES)
        return builder.select(builder.fcmp_ordered("==", args[0], zero), args[1], args[2])

    return lanes(lanes, lanes, lanes), codegen


@intrinsic
def where_signed(typingctx: Any, a: Any, yes: Any, no: Any) -> Any:
    """`yes` in the lanes where the sign bit of `a` is set (also of -0), `no` in the others."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        bits = builder.bitcast(args[0], _BITS)
        return builder.select(builder.icmp_signed("<", bits, ir.Constant(_BITS, [0] * LANES)), args[1], args[2])

    return lanes(lanes, lanes, lanes), codegen


@intrinsic
def first_lanes(typingctx: Any, count: Any, yes: Any, no: Any) -> Any:
    """`yes` in the first `count` lanes (in all if there are fewer), `no` in the others."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        limit = builder.trunc(args[0], ir.IntType(32))
        one = builder.insert_element(ir.Constant(_BITS, ir.Undefined), limit, ir.IntType(32)(0))
        limits = builder.shuffle_vector(one, ir.Constant(_BITS, ir.Undefined), ir.Constant(_BITS, [0] * LANES))
        mask = builder.icmp_signed("<", ir.Constant(_BITS, list(range(LANES))), limits)
        return builder.select(mask, args[1], args[2])

    return lanes(types.int64, lanes, lanes), codegen


@intrinsic
def any_less(typingctx: Any, a: Any, b: Any) -> Any:
    """Whether ``a < b`` in any lane."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        mask = ir.IntType(LANES)
        lanes_less = builder.bitcast(builder.fcmp_ordered("<", *args), mask)
        return builder.icmp_unsigned("!=", lanes_less, ir.Constant(mask, 0))

    return types.boolean(lanes, lanes), codegen


@intrinsic
def keep_apart(typingctx: Any) -> Any:
    """Have the compiler keep the function that calls this a function of its own.

    Inlined wherever they are called, the kernels would be compiled a dozen times over.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.none(), codegen
