"""One bit for each voxel of a tile, as a value that compiled functions can hold in registers.

A tile has `LANES` voxels. A `Mask` is a vector of ``LANES / 8`` bytes. Which bit belongs to which voxel is free to
choose, so it is chosen for the way in which comparisons leave the processor: eight rounds of ``LANES / 8``
voxels, and round k fills bit k of every byte::

    keys    | round 0: BYTES keys | round 1: BYTES keys | ... | round 7: BYTES keys |
    mask      byte 0: its bits 0 to 7 come from rounds 0 to 7,  byte 1: the same,  ...

Within a round, 32 comparisons of 32 bits are narrowed to 32 bytes. Vector units narrow two registers
into one half by half, so the bytes come out shuffled; instead of unshuffling them (three more instructions of
eleven) the voxels are laid out so that they come out right: `POSITION_OF_LANE`.

All functions are written in LLVM's portable vector operations: AVX2, AVX-512, SSE and NEON run the same code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_model

LANES = 256
BYTES = LANES // 8  # of a mask; also keys per round
WORDS = LANES // 64  # uint64 that hold one mask in an array

_I1, _I8, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
_MASK = ir.VectorType(_I8, BYTES)
_KEYS = ir.VectorType(_I32, 8)
_HALVES = ir.VectorType(_I16, 16)
_ROUND = ir.VectorType(_I8, 32)

# Keeping the low half of every element of two registers, within each 128-bit half of them.
_NARROW_TO_16 = [0, 2, 4, 6, 16, 18, 20, 22, 8, 10, 12, 14, 24, 26, 28, 30]
_NARROW_TO_8 = [2 * i + 32 * source + 16 * half for half in (0, 1) for source in (0, 1) for i in range(8)]


def _position_of_lane() -> npt.NDArray[np.uint32]:
    """For each lane (round * BYTES + byte) the position of its key in a row of the tile."""
    byte = np.arange(32)
    in_group = 8 * (byte % 16 // 4) + 4 * (byte // 16) + byte % 4  # what the two narrowings do to 4 x 8 keys
    return (in_group + np.arange(0, LANES, 32)[:, np.newaxis]).ravel().astype(np.uint32)


POSITION_OF_LANE = _position_of_lane()
LANE_OF_POSITION = np.argsort(POSITION_OF_LANE).astype(np.uint32)


def aligned(length: int, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """An empty array that begins with a cache line: comparisons that straddle two take half as long again."""
    n_bytes = length * np.dtype(dtype).itemsize
    memory = np.empty(n_bytes + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    return memory[begin : begin + n_bytes].view(dtype)


_compiled: Callable[[Callable[..., Any]], Callable[..., Any]] = intrinsic  # numba calls them with a context more


class MaskType(types.Type):
    """The numba type of a mask."""


MASK: types.Type = MaskType(f"Mask{LANES}")


@register_model(MaskType)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager: Any, frontend_type: Any) -> None:
        super().__init__(manager, frontend_type, _MASK)  # type: ignore[no-untyped-call]


def _constant(values: list[int], element: ir.Type) -> ir.Constant:
    return ir.Constant(ir.VectorType(element, len(values)), values)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, element: Any) -> Any:
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [element])


def _mask_pointer(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    first_word = builder.mul(arguments[1], ir.Constant(_I64, WORDS))
    pointer = _pointer(context, builder, signature.args[0], arguments[0], first_word)
    return builder.bitcast(pointer, _MASK.as_pointer())


@_compiled
def below(typing_context: Any, keys: Any, start: Any, threshold: Any) -> Any:
    """``below(keys, start, threshold)``: which of the LANES int32 keys from `start` (uint64) on are smaller."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        undefined = ir.Constant(_KEYS, ir.Undefined)
        single = builder.insert_element(undefined, arguments[2], ir.Constant(_I32, 0))
        everywhere = builder.shuffle_vector(single, undefined, _constant([0] * 8, _I32))

        def compared(position: int) -> Any:
            pointer = builder.gep(first, [ir.Constant(_I64, position)])
            eight = builder.load(builder.bitcast(pointer, _KEYS.as_pointer()), align=4)
            return builder.sext(builder.icmp_signed("<", eight, everywhere), _KEYS)

        def narrowed(a: Any, b: Any, as_type: ir.Type, order: list[int]) -> Any:
            a, b = builder.bitcast(a, as_type), builder.bitcast(b, as_type)
            return builder.shuffle_vector(a, b, _constant(order, _I32))

        groups = []
        for group in range(0, BYTES, 32):
            collected = ir.Constant(_ROUND, None)
            for k in range(8):
                fours = [compared(k * BYTES + group + 8 * i) for i in range(4)]
                pairs = [narrowed(fours[i], fours[i + 1], _HALVES, _NARROW_TO_16) for i in (0, 2)]
                answers = narrowed(pairs[0], pairs[1], _ROUND, _NARROW_TO_8)
                bit = builder.and_(answers, _constant([(1 << k) - 256 * (k == 7)] * 32, _I8))
                collected = builder.or_(collected, bit)
            groups.append(collected)
        while len(groups) > 1:
            order = _constant(list(range(2 * groups[0].type.count)), _I32)
            groups = [builder.shuffle_vector(a, b, order) for a, b in zip(groups[::2], groups[1::2])]
        return groups[0]

    return MASK(keys, start, threshold), generate


@_compiled
def load(typing_context: Any, masks: Any, number: Any) -> Any:
    """``load(masks, number)``: mask `number` (uint64) of a uint64 array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_mask_pointer(context, builder, signature, arguments), align=8)

    return MASK(masks, number), generate


@_compiled
def store(typing_context: Any, masks: Any, number: Any, mask: Any) -> Any:
    """``store(masks, number, mask)``: write mask `number` of a uint64 array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], _mask_pointer(context, builder, signature, arguments), align=8)
        return context.get_dummy_value()

    return types.void(masks, number, mask), generate


def _bitwise(operation: Callable[[Any, Any, Any], Any]) -> Any:
    @_compiled
    def function(typing_context: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return operation(builder, *arguments)

        return MASK(a, b), generate

    return function


both = _bitwise(lambda builder, a, b: builder.and_(a, b))
only_first = _bitwise(lambda builder, a, b: builder.and_(a, builder.not_(b)))
differ = _bitwise(lambda builder, a, b: builder.xor(a, b))


@_compiled
def occupied(typing_context: Any, mask: Any) -> Any:
    """``occupied(mask)``: uint64 with one bit for each byte of the mask that is not zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        not_zero = builder.icmp_unsigned("!=", arguments[0], ir.Constant(_MASK, None))
        bits = builder.bitcast(not_zero, ir.IntType(BYTES))
        return builder.zext(bits, _I64) if BYTES < 64 else bits

    return types.uint64(mask), generate


@_compiled
def count_bits(typing_context: Any, word: Any) -> Any:
    """``count_bits(word)``: number of bits set in a uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.uint64(word), generate


@_compiled
def lowest_bit(typing_context: Any, word: Any) -> Any:
    """``lowest_bit(word)``: number of the lowest bit set in a uint64, 64 if there is none."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(_I1, 0))

    return types.uint64(word), generate


@_compiled
def prefetch(typing_context: Any, words: Any, number: Any) -> Any:
    """``prefetch(words, number)``: have the memory bring entry `number` (uint64) near; nothing waits for it."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], arguments[0], arguments[1])
        pointer = builder.bitcast(pointer, _I8.as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, _I32, _I32, _I32])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        to_read, keep, data = (ir.Constant(_I32, value) for value in (0, 3, 1))
        builder.call(function, [pointer, to_read, keep, data])
        return context.get_dummy_value()

    return types.void(words, number), generate
