"""Flat images, PNG, JPEG and BMP: always axes ``yxc``, with a channel axis even when grey, as ilastik has them."""

from __future__ import annotations

import imagecodecs
import numpy as np

from ecc_rf.errors import FormatError
from ecc_rf.volumes.array import ArrayVolume
from ecc_rf.volumes.axes import check_axes
from ecc_rf.volumes.base import Source, check_voxels, damage_reported
from ecc_rf.volumes.image_header import check_image
from ecc_rf.volumes.limits import check_whole

_DECODERS = {".png": "png_decode", ".jpg": "jpeg_decode", ".jpeg": "jpeg_decode", ".bmp": "bmp_decode"}


def open_source(source: Source) -> ArrayVolume:
    with damage_reported(source.name):
        decode = getattr(imagecodecs, _DECODERS[source.path.suffix.lower()])
        check_whole(source.name, source.path.stat().st_size, "save the image as .npy, .h5 or .tif")
        stored = source.path.read_bytes()
        # the decoder paints the missing end of a JPEG grey; its end mark follows the last scan
        if stored.startswith(b"\xff\xd8") and stored.find(b"\xff\xd9", stored.rfind(b"\xff\xda")) < 0:
            raise FormatError("the file is truncated: the end mark is missing", source.name, "copy it anew")
        check_image(stored, source.name)
        image = np.asarray(decode(stored))
        array = image[..., None] if image.ndim == 2 else image
        check_voxels(source.name, array.shape, array.dtype)
        axes = check_axes(source.axes or "yxc", array.ndim, source.name)
        return ArrayVolume(source.name, array, axes, voxel_size=source.voxel_size)
