"""From a step of the plan to what the compiled code needs: words, tables, buffers."""

from __future__ import annotations

from collections.abc import Sequence

from ecc_rf.features import combine
from ecc_rf.features.combine import make_features
from ecc_rf.features.kernels import Kernel
from ecc_rf.features.memory import Memory
from ecc_rf.features.plan import ScaleStep
from ecc_rf.features.presmoothing import make_presmoothing
from ecc_rf.features.rolling import CHUNK, Scale
from ecc_rf.features.selection import DIFFERENCE, GAUSSIAN, GRADIENT, HESSIAN, LAPLACIAN, STRUCTURE
from ecc_rf.features.stage import IDENTITY, Stage, buffer_width, make_stage
from ecc_rf.features.tensor import Tensor

# What each filter needs and what is made of it. Kernels along x, y, z: s smooth, d first and e second derivative, t the
# smaller Gaussian; u and v smooth and first derivative of the structure tensor's gradient.
_FILTERS = {
    (GAUSSIAN, 3): (combine.COPY, ("sss",)),
    (DIFFERENCE, 3): (combine.DIFFERENCE, ("sss", "ttt")),
    (GRADIENT, 3): (combine.LENGTH3, ("dss", "sds", "ssd")),
    (LAPLACIAN, 3): (combine.SUM3, ("ess", "ses", "sse")),
    (HESSIAN, 3): (combine.EIGENVALUES3, ("ess", "ses", "sse", "dds", "dsd", "sdd")),
    (GAUSSIAN, 2): (combine.COPY, ("ss.",)),
    (DIFFERENCE, 2): (combine.DIFFERENCE, ("ss.", "tt.")),
    (GRADIENT, 2): (combine.LENGTH2, ("ds.", "sd.")),
    (LAPLACIAN, 2): (combine.SUM2, ("es.", "se.")),
    (HESSIAN, 2): (combine.EIGENVALUES2, ("es.", "se.", "dd.")),
}
_GRADIENT = {3: ("vuu", "uvu", "uuv"), 2: ("vu.", "uv.")}
_INTEGRATION = {3: ("sss",) * 6, 2: ("ss.",) * 3}
_TENSOR_KIND = {3: combine.EIGENVALUES3, 2: combine.EIGENVALUES2}


def make_scale(memory: Memory, step: ScaleStep, image_width: int, count: tuple[int, int, int]) -> Scale:
    """Tables and buffers for tiles of at most `count` (z, y, x) voxels.

    Parameters
    ----------
    memory : Memory
        Where they are kept; it must outlive the result.
    step : ScaleStep
        What to compute.
    image_width : int
        Extent of the whole image along x.
    count : tuple of int
        Extents of the largest tile.

    Returns
    -------
    Scale
        What `rolling.roll` needs.
    """
    nz, ny, nx = count
    kernels = {
        "s": step.smooth,
        "d": step.first,
        "e": step.second,
        "t": step.minor,
        "u": step.inner_smooth,
        "v": step.inner_first,
        IDENTITY: Kernel((1.0,)),
    }
    margin = 2 * (step.radius - step.presmoothing.radius)
    width = buffer_width(nx + margin)

    def stage(words: Sequence[Sequence[str]], ny: int, nx: int) -> Stage:
        return make_stage(memory, words, kernels, image_width, width, (ny, nx), nz + margin, CHUNK)

    axes = 2 if step.in_2d else 3
    chosen = [(*_FILTERS[name, axes], first) for name, first in step.targets if name != STRUCTURE]
    words = list(dict.fromkeys(word for _, needed, _ in chosen for word in needed))
    filters = stage([words], ny, nx)
    filter_features = make_features(
        memory,
        [kind for kind, _, _ in chosen],
        [first for _, _, first in chosen],
        [[words.index(word) for word in needed] for _, needed, _ in chosen],
        filters.row,
    )

    firsts = [first for name, first in step.targets if name == STRUCTURE]
    products = _INTEGRATION[axes] if firsts else ()
    outer = stage([[word] for word in products], ny, nx)
    edge = 2 * outer.radius
    inner = stage([_GRADIENT[axes] if firsts else ()], ny + edge, nx + edge)
    plane = (ny + edge) * width
    tensor = Tensor(inner, outer, step.inner_first.odd, memory.buffer(len(products) * plane), plane)
    tensor_features = make_features(
        memory, [_TENSOR_KIND[axes]] * len(firsts), firsts, [range(len(products))] * len(firsts), outer.row
    )
    depth = max(filters.depth, tensor.inner.depth + tensor.outer.depth)
    reach = max(filters.radius, tensor.inner.radius + tensor.outer.radius)
    read = (nz + 2 * depth, ny + 2 * reach, nx + 2 * reach)
    pre = make_presmoothing(memory, step.presmoothing, step.in_2d, image_width, read, CHUNK)
    return Scale(depth, reach, pre, filters, filter_features, tensor, tensor_features)
