"""The structure tensor: gradient, products of its components, integration.

::

    P ──► inner: vuu uvu uuv ──► products xx yy zz xy xz yz ──► outer: each smoothed ──► eigenvalues

Both ends are stages that roll along z; the products between them exist for one plane at a time.

Beyond a border of the image every pass sees its input mirrored. For P that is so by itself (see `rolling`), and so it
is for the square of a component, but across the border a component turns its sign and with it two of the products.
There the sign is turned back. Along x nothing is to be done: the inner stage mirrors its results, not its input.
"""

from __future__ import annotations

from typing import NamedTuple

from ecc_rf.features.lanes import (
    LANES,
    NEXT,
    NONE,
    Buffer,
    compiled,
    compiled_in_place,
    load,
    negative,
    store,
)
from ecc_rf.features.presmoothing import Window
from ecc_rf.features.stage import Stage, emit, feed


class Tensor(NamedTuple):
    """Stages of the structure tensor.

    Attributes
    ----------
    inner, outer : Stage
        Gradient; integration of its products.
    odd : bool
        A component turns its sign beyond a border; not so where the kernel is a single tap.
    products : Buffer
        A plane of each product.
    plane : int
        Distance of planes in it; its rows have the stages' width.
    """

    inner: Stage
    outer: Stage
    odd: bool
    products: Buffer
    plane: int


@compiled
def _multiply_row(inner: Stage, target: Buffer, to: int, step: int, turn_y: bool, turn_z: bool, count: int) -> None:
    """Products of a row of the gradient: xx, yy, zz, xy, xz, yz, or xx, yy, xy in 2D."""
    row = inner.row
    for i in range(0, count, LANES):
        x, y = load(inner.rows, i), load(inner.rows, i + row)
        y = negative(y) if turn_y else y
        store(target, to + i, x * x)
        store(target, to + i + step, y * y)
        if inner.n_z == 3:
            z = load(inner.rows, i + 2 * row)
            z = negative(z) if turn_z else z
            store(target, to + i + 2 * step, z * z)
            store(target, to + i + 3 * step, x * y)
            store(target, to + i + 4 * step, x * z)
            store(target, to + i + 5 * step, y * z)
        else:
            store(target, to + i + 2 * step, x * y)


@compiled_in_place
def integrate(tensor: Tensor, part: Window, g: int) -> None:
    """Plane `g` of the products, counted from where the outer stage needs them, into the outer stage.

    Parameters
    ----------
    tensor : Tensor
        The inner stage has been fed as far as plane ``g + 2 depth``.
    part : Window
        What is wanted in the end.
    """
    inner, outer = tensor.inner, tensor.outer
    edge = outer.radius
    ny, nx, x0 = part.y1 - part.y0, part.x1 - part.x0, part.x_block + part.x0
    turn_z = tensor.odd and not 0 <= part.z0 - outer.depth + g < part.nz
    for y in range(ny + 2 * edge):
        turn_y = tensor.odd and not 0 <= part.y0 - edge + y < part.ny
        emit(inner, g + inner.depth, y, NEXT, nx + 2 * edge)
        _multiply_row(inner, tensor.products, y * inner.width, tensor.plane, turn_y, turn_z, nx + 2 * edge)
    feed(outer, tensor.products, NONE, tensor.plane, ny, nx, x0, g)
