"""How much of everything a project may hold, and why.

A file can claim any number in a few bytes. Each limit is far above what real projects have (the largest known: 40
forests, 10,000 label blocks, 100 features), and low enough that what is within it can be read in seconds.
"""

from __future__ import annotations

MOST_LANES = 10_000
"""Images: ilastik numbers them with four digits."""

MOST_AXES = 5
"""Axes of an image: tzyxc."""

MOST_LABELS = 255
"""Labels: they are stored as uint8."""

MOST_ROLES = 16
"""Roles of an image, of which ilastik has two."""

MOST_FILTERS = 64
"""Rows of the feature selection; ilastik knows six."""

MOST_SCALES = 256
"""Columns of the feature selection; ilastik begins with seven."""

LARGEST_EXTENT = 2**31
"""Voxels along an axis of an image; the largest images have a hundred thousand."""

MOST_FORESTS = 1_024
"""Forests, one for each thread of the computer that trained them."""

MOST_TREES = 65_535
"""Trees of all forests; votes are counted in 16 bits."""

MOST_NUMBERS = 65_536
"""Entries of any small table: shapes, scales, colours, options."""

MOST_BLOCKS = 1_000_000
"""Label blocks of an image, of 40 voxels a side: annotations in every part of a brain of 4000 x 4000 x 4000 voxels."""

MOST_LABELLED = 10_000_000
"""Labelled voxels of an image: a thousand times what people paint, and about a gigabyte when they are sorted."""

LARGEST_COMPRESSION = 1032
"""Deflate shrinks to no less than 1/1032 of the size; beyond, a dataset claims more than the file can hold."""

LARGEST_TREE_COMPRESSION = 10
"""Trees are stored as they are; gzip shrinks real ones 1.5 to 6.5 times. Unlike labels they are read whole."""

HARMLESS_BYTES = 1 << 20
"""What never-written datasets may claim: they are fill values, stored in no bytes."""

MOST_OBJECTS = 4_000_000
"""Groups and datasets of a project: the largest has as many label blocks as allowed, and some more."""

LARGEST_ATTRIBUTE = 1 << 20
"""Bytes of an attribute; axis tags and positions have a few hundred."""
