"""How the values of options are written: each function reads one kind, or says what it should look like."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from ecc_rf.errors import SettingError


def parse_pairs(texts: Sequence[str], option: str) -> dict[int | str, str]:
    """Values by lane, from texts such as ``0=brain.h5``: a lane's number or nickname.

    >>> parse_pairs(["0=a.h5", "second=b=c.h5"], "--image")
    {0: 'a.h5', 'second': 'b=c.h5'}
    """
    pairs: dict[int | str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        key = int(name) if name.strip().isdecimal() else name
        if not equals or not name or not value:
            raise SettingError(
                f"{text!r} is not LANE=PATH",
                option,
                f"Say whose it is by a lane's number or nickname, such as 0={text or 'a.h5'}",
            )
        if key in pairs:
            raise SettingError(f"lane {key} is named twice", option, "name it once")
        pairs[key] = value
    return pairs


def parse_part(text: str) -> tuple[int, int]:
    """
    >>> parse_part("2/8")
    (2, 8)
    """
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise bad_value(text, "part", "Give I/N with I from 1 to N, such as 2/8.")
    return int(match[1]), int(match[2])


def parse_group(text: str) -> tuple[str, str]:
    """
    >>> parse_group("brain 1=1008_*")
    ('brain 1', '1008_*')
    """
    name, equals, pattern = text.partition("=")
    if not (name and equals and pattern):
        raise bad_value(text, "group", "Give NAME=PATTERN, such as brain1=1008_*.")
    return name, pattern


def parse_lane_scales(texts: Sequence[str]) -> dict[int | str, tuple[float, ...]]:
    """Scales by lane, ``""`` for all others.

    >>> parse_lane_scales(["0=2734", "900,1200.5"])
    {0: (2734.0,), '': (900.0, 1200.5)}
    """
    scales: dict[int | str, tuple[float, ...]] = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        key = int(name) if name.strip().isdecimal() else name
        if key in scales:
            raise SettingError(f"The scale of {f'lane {key}' if equals else 'all'} is given twice.", "--scale")
        try:
            scales[key] = parse_scales(value)
        except argparse.ArgumentTypeError as error:
            raise SettingError(str(error), "--scale") from None
    return scales


def parse_scales(text: str) -> tuple[float, ...]:
    """
    >>> parse_scales("2734"), parse_scales("900,1200.5")
    ((2734.0,), (900.0, 1200.5))
    """
    try:
        scales = tuple(float(part) for part in text.split(","))
        if min(scales) > 0:
            return scales
    except ValueError:
        pass
    raise bad_value(text, "scale", "Give a positive number, or one per channel with commas.")


def parse_names(text: str) -> str | list[str]:
    return text if text == "all" else [name.strip() for name in text.split(",")]


def parse_voxel_size(text: str) -> tuple[float, float, float]:
    """
    >>> parse_voxel_size("6,1.62,1.62")
    (6.0, 1.62, 1.62)
    """
    try:
        z, y, x = (float(part) for part in text.split(","))
        if min(z, y, x) > 0:
            return z, y, x
    except ValueError:
        pass
    raise bad_value(text, "voxel size", "Give three positive numbers of µm: Z,Y,X, such as 6,1.62,1.62.")


def parse_level(text: str) -> int | tuple[float, float, float]:
    """
    >>> parse_level("2"), parse_level("6,3.2,3.2µm")
    (2, (6.0, 3.2, 3.2))
    """
    if re.fullmatch(r"\s*\d+\s*", text):
        return int(text)
    try:
        return parse_voxel_size(re.sub(r"\s*[µμu]m\s*$", "", text))
    except argparse.ArgumentTypeError:
        raise bad_value(text, "level", "Give its number from 0, or a voxel size Z,Y,X in µm.") from None


def parse_block(text: str) -> tuple[int, int, int]:
    """
    >>> parse_block("64,128,128"), parse_block("64")
    ((64, 128, 128), (64, 64, 64))
    """
    try:
        extents = [int(part) for part in text.split(",")]
        z, y, x = extents * 3 if len(extents) == 1 else extents
        if min(z, y, x) > 0:
            return z, y, x
    except ValueError:
        pass
    raise bad_value(text, "block", "Give one or three positive numbers of voxels: Z,Y,X, such as 64,128,128.")


def parse_roi(text: str) -> dict[str, tuple[int | None, int | None]]:
    """
    >>> parse_roi("z=10:50,x=:100")
    {'z': (10, 50), 'x': (None, 100)}
    """
    roi: dict[str, tuple[int | None, int | None]] = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([tzyx])\s*=\s*(\d*)\s*:\s*(\d*)\s*", part)
        if match is None or match[1] in roi:
            raise bad_value(text, "region", "Give half-open bounds per axis, such as z=10:50,y=0:512.")
        roi[match[1]] = (int(match[2]) if match[2] else None, int(match[3]) if match[3] else None)
    return roi


def bad_value(text: str, what: str, do: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"{text!r} is no {what}. {do}")


def parse_offset(text: str) -> tuple[int, int, int]:
    """
    >>> parse_offset("10,0,250")
    (10, 0, 250)
    """
    try:
        z, y, x = (int(part) for part in text.split(","))
        if min(z, y, x) >= 0:
            return z, y, x
    except ValueError:
        pass
    raise bad_value(text, "voxel", "Give three whole numbers from 0: Z,Y,X, such as 10,0,250.")


def parse_factors(text: str) -> tuple[int, int, int]:
    """
    >>> parse_factors("1,2,2"), parse_factors("2")
    ((1, 2, 2), (1, 2, 2))
    """
    try:
        factors = [int(part) for part in text.split(",")]
        z, y, x = [1, factors[0], factors[0]] if len(factors) == 1 else factors
        if min(z, y, x) > 0:
            return z, y, x
    except ValueError:
        pass
    raise bad_value(text, "downsampling", "Give one whole number for y and x, or three, Z,Y,X, such as 1,2,2.")


def parse_mapping(text: str) -> dict[int, int | str]:
    """
    >>> parse_mapping("5=1, 9=false signal,7=0")
    {5: 1, 9: 'false signal', 7: 0}
    """
    mapping: dict[int, int | str] = {}
    for part in text.split(","):
        value, _, label = (piece.strip() for piece in part.partition("="))
        if not value.isdecimal() or not label or int(value) in mapping:
            raise bad_value(text, "mapping", "Give VALUE=LABEL, each value once, such as 5=1,9=background.")
        mapping[int(value)] = int(label) if label.isdecimal() else label
    return mapping
