"""Mutants on the level of HDF5: a file that is whole, with members that are not what they should be."""

from __future__ import annotations

import contextlib
from pathlib import Path
from random import Random

import h5py
import numpy as np

from tests.fuzzing import canaries


def restructured(path: Path, random: Random, canary: Path) -> str:
    """Change a project in place, in one to four ways; returns what was done."""
    done = []
    with h5py.File(path, "r+") as file:
        canaries.plant(file, canaries.PLACES[0], random.choice(canaries.pickles(canary)), opaque=True)
        for _ in range(random.choice((1, 1, 1, 2, 4))):
            change = random.choice(_CHANGES)
            # a change may be impossible, such as writing into what an earlier one took away
            with contextlib.suppress(OSError, ValueError, TypeError, KeyError, RuntimeError, OverflowError):
                done.append(f"{change.__name__[1:]} {change(file, random, canary)}")
    return "; ".join(done)


def _names(file: h5py.File) -> tuple[list[str], list[str]]:
    """Paths of the groups and of the datasets; links are not followed, loops are passed once."""
    groups: list[str] = []
    datasets: list[str] = []

    def visit(name: bytes, info: h5py.h5o.ObjInfo) -> None:  # visititems would open each: a forest has hundreds
        if name != b".":
            (datasets if info.type == h5py.h5o.TYPE_DATASET else groups).append(name.decode(errors="surrogateescape"))

    h5py.h5o.visit(file.id, visit, info=True)
    return groups, datasets


def _one(file: h5py.File, random: Random) -> str:
    """A group or dataset; those of single trees are many, and chosen less often."""
    groups, datasets = _names(file)
    names = groups + datasets
    few = [name for name in names if "/Tree_" not in name]
    return random.choice(few if few and random.random() < 0.7 else names)


def _dataset(file: h5py.File, random: Random) -> str:
    datasets = _names(file)[1]
    few = [name for name in datasets if "/Tree_" not in name]
    return random.choice(few if few and random.random() < 0.7 else datasets)


def _replace(file: h5py.File, name: str, data: object, **options: object) -> None:
    """Another dataset under the name; its attributes stay, as they would in a program that misbehaves."""
    attributes = dict(file[name].attrs) if name in file else {}
    if name in file:
        del file[name]
    dataset = file.create_dataset(name, data=data, **options)
    for key, value in attributes.items():
        dataset.attrs[key] = value


def _delete(file: h5py.File, random: Random, canary: Path) -> str:
    name = _one(file, random)
    del file[name]
    return name


def _swap(file: h5py.File, random: Random, canary: Path) -> str:
    one, other = _one(file, random), _one(file, random)
    if one != other and not one.startswith(other + "/") and not other.startswith(one + "/"):
        file.move(one, "swapped")
        file.move(other, one)
        file.move("swapped", other)
    return f"{one} and {other}"


def _rename(file: h5py.File, random: Random, canary: Path) -> str:
    name = _one(file, random)
    leaf = random.choice(("x", "Forest9999", "lane0099", "labels077", "block0001", "Tree_0", "ü\u202e", "a" * 300, "_"))
    file.move(name, f"{name.rpartition('/')[0]}/{leaf}")
    return f"{name} to {leaf[:12]}"


def _copy(file: h5py.File, random: Random, canary: Path) -> str:
    one, other = _one(file, random), _one(file, random)
    if one != other and not one.startswith(other + "/"):
        del file[other]
        file.copy(one, other)
    return f"{one} over {other}"


def _retype(file: h5py.File, random: Random, canary: Path) -> str:
    name = _dataset(file, random)
    shape = file[name].shape or ()
    kind = random.choice(
        ("f2", ">f8", ">i4", "i8", "u8", "?", "c16", "S3", "V5", "O", "enum", "ref", "compound", "vlen")
    )
    if kind == "O":
        _replace(file, name, np.full(shape, "text", object), dtype=h5py.string_dtype())
    elif kind == "enum":
        _replace(file, name, np.zeros(shape, "i1"), dtype=h5py.enum_dtype({"A": 0, "B": 1}, "i1"))
    elif kind == "ref":
        _replace(file, name, file.ref if shape == () else np.full(shape, file.ref, h5py.ref_dtype))
    elif kind == "vlen":
        attributes = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, shape, h5py.vlen_dtype("i4")).attrs.update(attributes)
    elif kind == "compound":
        _replace(file, name, np.zeros(shape, [("a", "i4"), ("b", "S4")]))
    elif kind in ("S3", "V5"):
        _replace(file, name, np.zeros(shape, kind))
    else:
        old = file[name][()]
        numeric = isinstance(old, np.ndarray | np.generic) and np.asarray(old).dtype.kind in "biuf"
        with np.errstate(all="ignore"):  # numbers that the type has not
            _replace(file, name, np.asarray(old).astype(kind) if numeric else np.ones(shape, kind))
    return f"{name} to {kind}"


def _resize(file: h5py.File, random: Random, canary: Path) -> str:
    name = _dataset(file, random)
    old = np.asarray(file[name][()])
    how = random.choice(("empty", "null", "shorter", "longer", "deeper", "scalar", "huge", "sparse", "flat"))
    if how == "null":
        _replace(file, name, h5py.Empty("f8"))
    elif how == "scalar":
        _replace(file, name, old.ravel()[0])
    elif how == "huge":  # announced, never written
        attributes = dict(file[name].attrs)
        del file[name]
        file.create_dataset(name, (random.choice((2**28, 2**40)),), old.dtype).attrs.update(attributes)
    elif how == "sparse":  # the same in pieces, of which one is there
        attributes = dict(file[name].attrs)
        del file[name]
        dataset = file.create_dataset(name, (2**38,), old.dtype, chunks=(1024,), compression="gzip")
        dataset[:1] = old.ravel()[:1]
        dataset.attrs.update(attributes)
    else:
        flat = old.ravel()
        shapes = {"empty": flat[:0], "shorter": flat[:-1], "longer": np.resize(flat, len(flat) + 3), "flat": flat}
        _replace(file, name, shapes.get(how, old[None, None, None]))
    return f"{name}: {how}"


def _values(file: h5py.File, random: Random, canary: Path) -> str:
    name = _dataset(file, random)
    dataset = file[name]
    if dataset.dtype.kind not in "iuf" or not dataset.size:
        return name
    array = np.asarray(dataset[()]).reshape(dataset.shape)
    limits = np.iinfo(array.dtype) if array.dtype.kind in "iu" else np.finfo(array.dtype)
    wild = [0, 1, 2, 5, 42, 100, 255, 0x40000000, limits.max, limits.min]
    if array.dtype.kind == "f":
        wild += [np.nan, np.inf, -np.inf, 0.5, -1]
    flat = array.reshape(-1)
    rng = np.random.default_rng(random.getrandbits(32))
    how = random.choice(("one", "one", "many", "all", "shuffled"))
    if how == "shuffled":
        rng.shuffle(flat)
    else:
        number = {"one": 1, "many": max(1, len(flat) // 10), "all": len(flat)}[how]
        for at in rng.choice(len(flat), number, replace=False):
            with contextlib.suppress(OverflowError):
                flat[at] = random.choice(wild)
    dataset[...] = array
    return f"of {name}: {how}"


def _attribute(file: h5py.File, random: Random, canary: Path) -> str:
    having: list[str] = []

    def visit(name: bytes, info: h5py.h5o.ObjInfo) -> None:
        if info.num_attrs and name != b".":
            having.append(name.decode(errors="surrogateescape"))

    h5py.h5o.visit(file.id, visit, info=True)
    if not having:  # what else was changed has left none
        return "no attribute is left"
    name = random.choice(having)
    key = random.choice(sorted(file[name].attrs))
    how = random.choice(("gone", "number", "array", "long", "null", "bytes", "wild", "json"))
    attributes = file[name].attrs
    del attributes[key]
    new = {
        "number": 7,
        "array": np.zeros((3, 4)),
        "long": "[0:1," * 10_000,
        "null": h5py.Empty("f8"),
        "bytes": np.void(b"\xff\xfe\0"),
        "wild": random.choice(("[0:1]", "[5:2,0:1]", "[0:99999999999999999999]", "[-1:3]", "[0:4,0:4,0:4,0:1]", "")),
        "json": random.choice(_JSON),
    }
    if how != "gone":
        attributes[key] = new[how]
    return f"{name}@{key}: {how}"


_JSON = (
    '{"axes": []}',
    '{"axes": [{"key": "y"}, {"key": "y"}]}',
    '{"axes": [{"key": "q"}, {"key": "x"}]}',
    '{"axes": [{"key": "y", "resolution": 1e999}, {"key": "x", "resolution": NaN}]}',
    '{"axes": {"key": 3}}',
    "[" * 100_000,
    '{"axes": [{"key": ' + "9" * 10_000 + "}]}",
    "null",
)


def _text(file: h5py.File, random: Random, canary: Path) -> str:
    """A string of evil content in place of a string."""
    texts = [name for name in _names(file)[1] if file[name].dtype.kind in "OSV" and "/Tree_" not in name]
    name = random.choice(texts)
    evil: list[object] = [
        *canaries.texts(canary),
        *(text.encode() for text in _JSON),
        *(b"../../../../etc/passwd", b"/etc/passwd", b"file:///etc/passwd", b"/dev/zero", b"//server/share/a.h5/data"),
        *(b"/*/*/*/*/*.h5/data", b"/**/*.png", b"a" * 5000, b"/proc/self/mem", b"~nobody/x.h5", b"%s%s%n", b"\xff\xfe"),
        *(
            b"1.4.1" + b".1" * 5000,
            b"9" * 5000,
            b"0.5",
            b"99.9",
            b"http://localhost:1/x.zarr",
            b"a;b;c:d:e",
            b"",
            b"\0\0",
        ),
        np.void(b"\x80\x04\x95\0"),
        3.14,
        np.array([b"a", b"b"]),
    ]
    choice = random.choice(evil)
    shape = file[name].shape or ()
    if isinstance(choice, bytes) and shape:
        _replace(file, name, np.full(shape, choice, object), dtype=h5py.string_dtype())
    else:
        _replace(file, name, choice)
    return f"{name} = {str(choice)[:30]}"


def _link(file: h5py.File, random: Random, canary: Path) -> str:
    name = _one(file, random)
    how = random.choice(("soft", "dangling", "external", "loop", "up", "self", "storage", "virtual", "filter"))
    shape = file[name].shape if isinstance(file[name], h5py.Dataset) else (4,)
    parent = file[name].parent
    del file[name]
    if how == "soft":
        file[name] = h5py.SoftLink("/" + _one(file, random))
    elif how == "dangling":
        file[name] = h5py.SoftLink("/nowhere")
    elif how == "external":
        file[name] = h5py.ExternalLink("/etc/passwd", "/")
    elif how == "loop":
        file[name] = h5py.SoftLink("/" + name)
    elif how == "up":  # a hard link: the group holds itself
        file[name] = parent
    elif how == "self":
        file[name] = file["/"]
    elif how == "storage":
        file.create_dataset(name, shape or (1,), "u1", external=[("/etc/passwd", 0, int(np.prod(shape or (1,))))])
    elif how == "virtual":
        layout = h5py.VirtualLayout(shape or (1,), "u1")
        layout[...] = h5py.VirtualSource("/etc/passwd", "data", shape=shape or (1,))
        file.create_virtual_dataset(name, layout)
    else:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk(tuple(shape) or (1,))
        plist.set_filter(32015, h5py.h5z.FLAG_OPTIONAL)  # zstandard: a plug-in that is hardly ever there
        space = h5py.h5s.create_simple(tuple(shape) or (1,))
        h5py.h5d.create(file.id, name.encode(), h5py.h5t.NATIVE_DOUBLE, space, plist)
    return f"{name}: {how}"


def _pickle(file: h5py.File, random: Random, canary: Path) -> str:
    place = random.choice(canaries.PLACES)
    canaries.plant(file, place, random.choice(canaries.pickles(canary)), opaque=random.random() < 0.5)
    return place


_CHANGES = (_delete, _swap, _rename, _copy, _retype, _retype, _resize, _resize, _values, _values, _attribute)
_CHANGES += (_text, _text, _link, _pickle)
