"""Features against slow references, against ilastik's own, and against themselves in other blocks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from ecc_rf.errors import ShapeError
from ecc_rf.features import FEATURE_IDS, FeaturePlan, FeatureSelection, compute_features
from ecc_rf.features.kernels import gaussian
from tests.reference_features import exact, feature
from tests.test_features_selection import from_names

EIGENVALUE_IDS = ("HessianOfGaussianEigenvalues", "StructureTensorEigenvalues")
SCALES = (0.3, 0.7, 1.0, 1.3, 1.6, 2.5, 3.5, 5.0, 10.0)


def select(ids: tuple[str, ...], scales: tuple[float, ...], in_2d: tuple[bool, ...] | None = None) -> FeatureSelection:
    return FeatureSelection(ids, scales, ((True,) * len(scales),) * len(ids), in_2d)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    """Something with structure at all scales."""
    rng = np.random.default_rng(seed)
    image = rng.normal(size=shape).cumsum(-1) * 3 + rng.normal(size=shape).cumsum(-2) + 40 * rng.random(shape)
    return image.astype(np.float32)


def taps(sigma: float, order: int, window: float) -> np.ndarray:
    return gaussian(sigma, order, window).array()


def reference(image: np.ndarray, plan: FeaturePlan) -> np.ndarray:
    """All features by the float64 reference."""
    out = np.empty((plan.n_features, *image.shape[1:]))
    for step in plan.steps:
        for name, first in step.targets:
            for c, channel in enumerate(image.astype(np.float64)):
                values = feature(channel, name, step.scale, step.in_2d)
                at = first + c * len(values)
                out[at : at + len(values)] = values
    return out


def relative_error(values: np.ndarray, wanted: np.ndarray) -> float:
    """Greatest difference in units of the greatest value of the filter (of the largest eigenvalue)."""
    return float(np.abs(values - wanted).max() / np.abs(wanted).max())


def filters(plan: FeaturePlan) -> list[tuple[str, float, slice]]:
    """Filter, scale and features of every filter of a plan."""
    found = []
    for step in plan.steps:
        for name, first in step.targets:
            n = step.n_eigenvalues if name in EIGENVALUE_IDS else 1
            found.append((name, step.scale, slice(first, first + n * plan.n_channels)))
    return found


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("in_2d", [False, True])
def test_against_the_definition(scale: float, in_2d: bool) -> None:
    n = max(14, int(np.ceil(3.5 * scale)) + 2)
    image = noise(2, 5 if in_2d else n, n + 3, n + 26)
    plan = select(FEATURE_IDS, (scale,), (in_2d,)).plan(image.shape[1:], 2)
    values, wanted = compute_features(image, plan), reference(image, plan)
    # Sums lose what float32 (6e-8) rounds away of the image's own size in some dozens of operations, however small a
    # difference is left; the structure tensor squares. Closed 3 x 3 eigenvalues are good to 1e-3 of their size.
    rounding = 2e-6 * np.abs(image).max()
    for name, _, at in filters(plan):
        size = np.abs(wanted[at]).max()
        limit = 5e-5 * size if name == "StructureTensorEigenvalues" else rounding
        if name in EIGENVALUE_IDS and not in_2d:
            limit = max(limit, 1e-3 * size)
        assert np.abs(values[at] - wanted[at]).max() < limit, name


def test_3d_eigenvalues_are_good_on_average() -> None:
    image = noise(1, 24, 40, 48)
    plan = select(EIGENVALUE_IDS, (1.0, 1.6, 3.5)).plan(image.shape[1:])
    values, wanted = compute_features(image, plan), reference(image, plan)
    for name, scale, at in filters(plan):
        rms = np.sqrt(((values[at] - wanted[at]) ** 2).mean()) / np.abs(wanted[at]).max()
        assert rms < 1e-4, (name, scale)


@pytest.mark.parametrize("width", [20, 64, 97, 150])
@pytest.mark.parametrize("in_2d", [False, True])
def test_roundings_are_fastfilters(width: int, in_2d: bool) -> None:
    """Bit for bit, at widths with and without columns that are not fused."""
    image = noise(1, 15, 21, width)
    names = FEATURE_IDS if in_2d else tuple(name for name in FEATURE_IDS if name not in EIGENVALUE_IDS)
    plan = select(names, (0.3, 0.7, 1.0, 1.6, 3.5), (in_2d,) * 5).plan(image.shape[1:])
    values = compute_features(image, plan)
    for name, scale, at in filters(plan):
        wanted = exact(image[0], name, scale, in_2d, taps)
        np.testing.assert_array_equal(values[at], wanted, f"{name} {scale}")


@pytest.mark.parametrize("case", ["all_filters_all_scales_3d_u8", "mixed_2d_3d_u8", "flat_2d_u8"])
def test_equal_to_ilastik(golden: Path, case: str) -> None:
    """Bit for bit what ilastik computed, all filters and scales, eigenvalues too."""
    folder = golden / "features"
    entry = json.loads((folder / "features.json").read_text())[f"{case}.npz"]
    with h5py.File(folder / entry["image"]) as file:
        image = file[next(iter(file))][()]
    volume = image.reshape((1, *image.shape[:2]) if case.startswith("flat") else image.shape[:3])
    plan = from_names(entry["channels"]).plan(volume.shape)
    values = np.moveaxis(compute_features(volume[np.newaxis], plan), 0, -1)
    with np.load(folder / f"{case}.npz") as windows:
        for name, bounds in entry["windows"].items():
            part = tuple(slice(*b) for b in bounds)
            wanted = windows[name]
            got = values[part] if len(part) == 3 else values[0][part]
            different = [c for k, c in enumerate(plan.names) if not np.array_equal(got[..., k], wanted[..., k])]
            assert different == [], name


def random_block(rng: np.random.Generator, plan: FeaturePlan) -> tuple[tuple[slice, ...], tuple[slice, ...], list[int]]:
    """A random core, and what is read for it: (core in the image, read, origin); halos of random excess."""
    core, read = [], []
    for n, halo in zip(plan.shape, plan.halo):
        start, stop = sorted(rng.choice(n + 1, 2, replace=False).tolist())
        core.append(slice(start, stop))
        extra = int(rng.integers(0, 3))
        read.append(slice(max(0, start - halo - extra), min(n, stop + halo + extra)))
    return tuple(core), tuple(read), [r.start for r in read]


@pytest.mark.parametrize(
    ("shape", "selection"),
    [
        ((19, 30, 45), select(FEATURE_IDS, (0.3, 1.0, 1.6))),
        ((17, 23, 150), select(FEATURE_IDS, (0.7, 3.5), (False, True))),
        ((40, 41, 110), FeatureSelection.recommended()),
        ((1, 61, 300), select(FEATURE_IDS, (0.7, 1.6, 10.0))),
        ((3, 3, 3), select(FEATURE_IDS, (0.3,))),
    ],
)
def test_blocks_give_the_same_bytes(shape: tuple[int, int, int], selection: FeatureSelection) -> None:
    image = noise(2, *shape, seed=3)
    plan = selection.plan(shape, 2)
    whole = compute_features(image, plan)
    rng = np.random.default_rng(1)
    for _ in range(12):
        core, read, origin = random_block(rng, plan)
        inner = tuple(slice(c.start - r.start, c.stop - r.start) for c, r in zip(core, read))
        values = compute_features(image[(slice(None), *read)], plan, inner, origin=origin)
        assert values.tobytes() == whole[(slice(None), *core)].tobytes(), (core, read)


def test_tiles_give_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    from ecc_rf.features import extract

    image = noise(1, 12, 50, 140)
    plan = select(FEATURE_IDS, (0.7, 1.6)).plan(image.shape[1:])
    wanted = compute_features(image, plan).tobytes()
    for tile in ((8, 8), (16, 64), (24, 1000), (3, 17)):
        monkeypatch.setattr(extract, "TILE", tile)
        assert compute_features(image, plan).tobytes() == wanted, tile


def test_wide_vectors_give_the_same_bytes(tmp_path: Path) -> None:
    """The code for processors with 16 lanes, run on whatever this one has."""
    code = """
import sys, numba, llvmlite.binding as binding, numpy as np
features = dict(binding.get_host_cpu_features())
true = binding.get_host_cpu_features
binding.get_host_cpu_features = lambda: {**features, "avx512f": not features.get("avx512f")}
from ecc_rf.features import lanes
binding.get_host_cpu_features = true
from ecc_rf.features import compute_features
from tests.test_features_extract import FEATURE_IDS, noise, select
image = noise(1, 12, 30, 110)
sys.stdout.buffer.write(compute_features(image, select(FEATURE_IDS, (0.7, 1.6)).plan(image.shape[1:])).tobytes())
"""
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        cwd=Path(__file__).parents[1],
        env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)},
    )
    image = noise(1, 12, 30, 110)
    assert run.stdout == compute_features(image, select(FEATURE_IDS, (0.7, 1.6)).plan(image.shape[1:])).tobytes()


def test_nothing_is_left_over_from_the_call_before() -> None:
    small = select(FEATURE_IDS, (0.7, 1.6))
    image, other = noise(1, 11, 17, 29), 1e30 * noise(1, 11, 17, 29, seed=9)
    plan = small.plan(image.shape[1:])
    first = compute_features(image, plan).tobytes()
    compute_features(other, plan)
    assert compute_features(image, plan).tobytes() == first


def test_each_feature_is_independent_of_the_others() -> None:
    """Sharing passes does not change them: every filter alone, and all in another order."""
    image = noise(1, 14, 20, 40)
    scales = (0.3, 1.6)
    plan = select(FEATURE_IDS, scales).plan(image.shape[1:])
    together = dict(zip(plan.names, compute_features(image, plan)))
    for name in FEATURE_IDS:
        alone = select((name,), scales).plan(image.shape[1:])
        for key, values in zip(alone.names, compute_features(image, alone)):
            np.testing.assert_array_equal(values, together[key], key)
    turned = select(FEATURE_IDS[::-1], scales[::-1]).plan(image.shape[1:])
    for key, values in zip(turned.names, compute_features(image, turned)):
        np.testing.assert_array_equal(values, together[key], key)


def test_channels_do_not_mix() -> None:
    image = noise(3, 9, 18, 25)
    selection = select(FEATURE_IDS, (1.0,))
    plan = selection.plan(image.shape[1:], 3)
    values = compute_features(image, plan)
    alone_plan = selection.plan(image.shape[1:])
    for c in range(3):
        alone = compute_features(image[c : c + 1], alone_plan)
        for (name, _, of_all), (_, _, at) in zip(filters(plan), filters(alone_plan)):
            n = at.stop - at.start
            part = slice(of_all.start + c * n, of_all.start + (c + 1) * n)
            np.testing.assert_array_equal(values[part], alone[at], name)


def test_every_plane_alone_in_2d() -> None:
    image = noise(1, 4, 30, 33)
    selection = select(FEATURE_IDS, (0.7, 1.6), (True, True))
    values = compute_features(image, selection.plan(image.shape[1:]))
    for z in range(4):
        plane = compute_features(image[:, z : z + 1], selection.plan((1, 30, 33)))
        np.testing.assert_array_equal(values[:, z : z + 1], plane)


@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "i8", "f8", ">f4", "?", "f2"])
def test_every_type_is_cast_without_scaling(dtype: str) -> None:
    image = (noise(1, 9, 12, 14) % 200).astype(dtype)
    plan = select(FEATURE_IDS, (0.7,)).plan(image.shape[1:])
    np.testing.assert_array_equal(compute_features(image, plan), compute_features(image.astype(np.float32), plan))


def test_polynomials_have_their_derivatives() -> None:
    """Away from borders a ramp has gradient 1, a parabola second derivative 2, a constant nothing."""
    _, y, x = np.mgrid[0:24.0, 0:24.0, 0:24.0]
    inside = (slice(None), slice(8, 16), slice(8, 16), slice(8, 16))
    ids = ("GaussianGradientMagnitude", "LaplacianOfGaussian", "HessianOfGaussianEigenvalues")
    plan = select(ids, (1.6,)).plan((24, 24, 24))
    ramp, parabola = compute_features(x[np.newaxis], plan)[inside], compute_features((y**2)[np.newaxis], plan)[inside]
    # float32 rounding of numbers up to 24² times the taps
    np.testing.assert_allclose(ramp, np.array([1, 0, 0, 0, 0]).reshape(5, 1, 1, 1) + 0 * ramp, atol=2e-5)
    np.testing.assert_allclose(parabola[1:], np.array([2, 2, 0, 0]).reshape(4, 1, 1, 1) + 0 * parabola[1:], atol=5e-4)
    constant = compute_features(np.full((1, 24, 24, 24), 100.0), plan)
    assert np.abs(constant).max() < 1e-4


@pytest.mark.parametrize("size", [1e-44, 1e-38, 1e-30, 1e-10, 1e10, 1e17])
def test_small_and_large_values(size: float) -> None:
    """Finite everywhere, and features scale with the image."""
    image = noise(1, 12, 14, 20)
    plan = select(("GaussianSmoothing", "DifferenceOfGaussians", "HessianOfGaussianEigenvalues"), (1.0,)).plan(
        (12, 14, 20)
    )
    values = compute_features(image.astype(np.float64) * size, plan)
    assert np.isfinite(values).all()
    if size > 1e-31:  # below, numbers lose digits
        wanted = compute_features(image, plan) * np.float64(size)
        for name, _, at in filters(plan):
            assert relative_error(values[at], wanted[at]) < 1e-3, name


def test_zeros_give_zeros() -> None:
    plan = select(FEATURE_IDS, (0.3, 1.6)).plan((9, 9, 9))
    assert not compute_features(np.zeros((1, 9, 9, 9)), plan).any()


def test_output_array() -> None:
    image = noise(1, 9, 12, 14)
    plan = select(FEATURE_IDS, (0.7,)).plan(image.shape[1:])
    wanted = compute_features(image, plan)
    out = np.full_like(wanted, np.nan)
    assert compute_features(image, plan, out=out) is out
    np.testing.assert_array_equal(out, wanted)
    larger = np.full((plan.n_features, 9, 12, 20), np.float32(7))
    view = larger[..., 3:17]
    assert compute_features(image, plan, out=view) is view
    np.testing.assert_array_equal(view, wanted)
    assert (larger[..., :3] == 7).all() and (larger[..., 17:] == 7).all()


def test_no_voxel_beyond_the_core_is_written() -> None:
    image = noise(1, 20, 30, 40)
    plan = FeatureSelection.recommended().plan((20, 30, 40))
    memory = np.full(plan.n_features * 2 * 3 * 13 + 64, np.float32(-1))
    out = memory[:-64].reshape(plan.n_features, 2, 3, 13)
    compute_features(image, plan, (slice(5, 7), slice(10, 13), slice(20, 33)), out)
    assert (memory[-64:] == -1).all()


def test_what_does_not_fit() -> None:
    image = noise(1, 20, 30, 40)
    plan = FeatureSelection.recommended().plan((20, 30, 40))
    part = (slice(0, 20), slice(0, 20), slice(0, 20))
    bad: list[tuple[tuple[object, ...], dict[str, object], str]] = [
        ((image[0], plan), {}, "channel, z, y, x"),
        ((image[[0, 0]], plan), {}, "1 channels"),
        ((image.astype(complex), plan), {}, "complex"),
        ((image[..., :30], plan), {}, "not the whole image"),
        ((image[..., :30], plan), {"origin": (0, 0, 20)}, "not inside the image"),
        ((image, plan, (slice(0, 20), slice(0, 20), slice(0, 41))), {}, "not a part"),
        ((image, plan, part[:2]), {}, "not a part"),
        ((image[..., :30], plan, part), {"origin": (0, 0, 0)}, "Along x the block holds 0 and 10 voxels"),
        ((image, plan), {"out": np.empty((16, 20, 30, 41), np.float32)}, "float32 of shape"),
        ((image, plan), {"out": np.empty((16, 20, 30, 40))}, "float64"),
    ]
    for arguments, keywords, message in bad:
        with pytest.raises(ShapeError, match=message):
            compute_features(*arguments, **keywords)  # type: ignore[arg-type]


def test_memory_estimate_holds() -> None:
    plan = FeatureSelection.recommended().plan((300, 2000, 3000))
    assert 1e6 < plan.scratch_bytes < 50e6


def test_threads_do_not_disturb_each_other() -> None:
    from concurrent.futures import ThreadPoolExecutor

    images = [noise(1, 16, 24, 70, seed=s) for s in range(6)]
    plan = select(FEATURE_IDS, (0.7, 1.6)).plan(images[0].shape[1:])
    wanted = [compute_features(image, plan).tobytes() for image in images]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda image: compute_features(image, plan).tobytes(), images)) == wanted


VIGRA = """
import sys, math, numpy as np, vigra
image = np.load(sys.argv[1])
f = vigra.filters
out = {}
for scale in (0.7, 1.0, 1.6, 3.5):
    before, d = (math.sqrt(scale**2 - 1), 1.0) if scale > 1 else (scale, scale)
    p = f.gaussianSmoothing(image, before, window_size=3.5)
    out[f"GaussianSmoothing {scale}"] = f.gaussianSmoothing(p, d, window_size=2.0)
    out[f"LaplacianOfGaussian {scale}"] = f.laplacianOfGaussian(p, d, window_size=2.0)
    out[f"GaussianGradientMagnitude {scale}"] = f.gaussianGradientMagnitude(p, d, window_size=2.0)
    out[f"HessianOfGaussianEigenvalues {scale}"] = f.hessianOfGaussianEigenvalues(p, d, window_size=2.0)
    # fastfilters takes the two scales the other way round
    out[f"StructureTensorEigenvalues {scale}"] = f.structureTensorEigenvalues(p, 0.5 * d, d, window_size=2.0)
np.savez(sys.argv[2], **{k: np.asarray(v) for k, v in out.items()})
"""


def test_against_vigra(tmp_path: Path) -> None:
    python = "/usr/bin/python3"
    if (
        not Path(python).exists()
        or subprocess.run([python, "-c", "import vigra"], capture_output=True, check=False).returncode
    ):
        pytest.skip("needs vigra in the system's Python (Debian: python3-vigra)")
    image = noise(1, 30, 40, 50)
    np.save(tmp_path / "image.npy", image[0])
    subprocess.run(
        [python, "-c", VIGRA, str(tmp_path / "image.npy"), str(tmp_path / "features.npz")],
        check=True,
        capture_output=True,
    )
    ids = tuple(name for name in FEATURE_IDS if name != "DifferenceOfGaussians")
    plan = select(ids, (0.7, 1.0, 1.6, 3.5)).plan(image.shape[1:])
    values = compute_features(image, plan)
    with np.load(tmp_path / "features.npz") as wanted:
        for name, scale, at in filters(plan):
            theirs = wanted[f"{name} {scale}"]
            theirs = theirs[np.newaxis] if theirs.ndim == 3 else np.moveaxis(theirs, -1, 0)
            # both round, each in its own way; see test_against_the_definition
            assert relative_error(values[at], theirs) < (1e-3 if name in EIGENVALUE_IDS else 5e-5), (name, scale)
