"""Zarr v3 documents: `zarr.json` of groups and arrays, and inline consolidated metadata.

Zarr core v3 and sharding_indexed. Everything here is JSON in memory; `store.py` reads and writes it. Documents of Zarr
v2 have the form of v3 as well, with 2 for `zarr_format`; `zarr_v2.py` knows how they are stored.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geozarr import cf
from geozarr.errors import MetadataError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

DOCUMENT = "zarr.json"
DATA_TYPES = (  # numbers and booleans of the core specification that numpy has
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
)
ZARR_FORMATS = (2, 3)


class KeyEncoding(NamedTuple):
    """How the keys of an array's stored objects are written (Zarr core v3, chunk key encoding).

    Parameters
    ----------
    separator : str
        Between the numbers of a key: "/" or ".".
    prefix : str
        Before them: "c" and the separator in the encoding "default", nothing in "v2".
    """

    separator: str
    prefix: str

    def key(self, index: Sequence[int]) -> str:
        """Key of an object below its array, by its position along each axis."""
        if not index:
            return self.prefix.rstrip("/.") or "0"
        return self.prefix + self.separator.join(map(str, index))

    def index_of(self, key: str, grid: Sequence[int]) -> tuple[int, ...] | None:
        """Read a key as the position of an object; None where it is the key of none.

        Parameters
        ----------
        key : str
            Below the array.
        grid : sequence of int
            Objects along each axis.
        """
        if not grid:
            return () if key == self.key(()) else None
        if not key.startswith(self.prefix):
            return None
        numbers = key[len(self.prefix) :].split(self.separator)
        if len(numbers) != len(grid) or not all(_WHOLE.fullmatch(number) for number in numbers):
            return None
        index = tuple(int(number) for number in numbers)
        return index if all(at < count for at, count in zip(index, grid, strict=True)) else None


_WHOLE = re.compile(r"0|[1-9][0-9]{0,17}")
# Of what is written. In Zarr v2 the dot, which every reader knows: "/" came into the specification later, and ArcGIS
# does not say whether it knows the member `dimension_separator`.
KEYS = {2: KeyEncoding(".", ""), 3: KeyEncoding("/", "c/")}


@dataclass(frozen=True)
class ArrayLayout:
    """How one array is stored.

    Parameters
    ----------
    shape : tuple of int
        Sizes.
    dtype : numpy.dtype
        Stored little-endian.
    dimensions : tuple of str
        A name for each axis.
    chunk : tuple of int
        Shape of the piece that is compressed by itself.
    shard : tuple of int or None
        Shape of the stored object where it holds many chunks; a multiple of `chunk`. None: each chunk is an object.
    fill_value : float
        Value of absent chunks.
    zarr_format : int
        2 or 3.

    Raises
    ------
    MetadataError
        If the shapes differ in rank or hold a side that is not above 0 (0 is allowed in `shape`), a name is used for
        two axes, the shard is no multiple of the chunk, or the fill value does not fit the dtype.
    UnsupportedError
        If the dtype is no boolean, integer or float, or there are shards in Zarr v2.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    dimensions: tuple[str, ...]
    chunk: tuple[int, ...]
    shard: tuple[int, ...] | None
    fill_value: float
    zarr_format: int = 3

    def __post_init__(self) -> None:
        rank = len(self.shape)
        if self.shard is not None and self.zarr_format == 2:
            raise UnsupportedError("a shard in Zarr v2", "each chunk is an object")
        for name in ("dimensions", "chunk", "shard"):
            value = getattr(self, name)
            if value is not None and len(value) != rank:
                raise MetadataError("array", name, found=value, expected=f"an entry for each of {rank} axes")
        for name, least in (("shape", 0), ("chunk", 1), ("shard", 1)):
            value = getattr(self, name)
            if value is not None and any(side < least for side in value):
                raise MetadataError("array", name, found=value, expected=f"sides of at least {least}")
        if len(set(self.dimensions)) != rank:
            raise MetadataError("array", "dimensions", found=self.dimensions, expected="each name once")
        if self.shard is not None and any(s % c for s, c in zip(self.shard, self.chunk, strict=True)):
            raise MetadataError("array", "shard", found=self.shard, expected=f"a multiple of the chunk {self.chunk}")
        if self.dtype.name not in DATA_TYPES:
            raise UnsupportedError(f"data type {self.dtype}", f"it is one of {', '.join(DATA_TYPES)}")
        cf.encode_fill_value(self.fill_value, self.dtype)

    @property
    def object_shape(self) -> tuple[int, ...]:
        """Shape of a stored object."""
        return self.shard or self.chunk

    @property
    def object_count(self) -> int:
        """Stored objects when every one of them holds data."""
        return math.prod(self.object_grid)

    @property
    def object_grid(self) -> tuple[int, ...]:
        """Stored objects along each axis."""
        return tuple(-(-size // side) for size, side in zip(self.shape, self.object_shape, strict=True))

    @property
    def keys(self) -> KeyEncoding:
        """How the keys of stored objects are written (ZARR-08)."""
        return KEYS[self.zarr_format]

    def object_key(self, *index: int) -> str:
        """Key of a stored object below the array."""
        return self.keys.key(index)


def object_shape_of(document: dict[str, Any], *, rank: int, node: str) -> tuple[int, ...]:
    """Read the shape of an array's stored objects (Zarr core v3, regular grids).

    Parameters
    ----------
    document : dict
        `zarr.json` of the array.
    rank : int
        Axes of the array.
    node : str
        Its path, for messages.

    Raises
    ------
    UnsupportedError
        If the chunk grid is another than "regular".
    MetadataError
        If it has no side of at least 1 for each axis.
    """
    grid = document.get("chunk_grid")
    configuration = grid.get("configuration") if isinstance(grid, dict) and grid.get("name") == "regular" else None
    if not isinstance(configuration, dict):
        raise UnsupportedError(f"chunk grid of {node}", "chunk grids are 'regular'")
    sides = configuration.get("chunk_shape")
    if (
        isinstance(sides, list)
        and len(sides) == rank
        and all(type(side) is int and 1 <= side < 2**63 for side in sides)
    ):
        return tuple(sides)
    expected = f"{rank} whole numbers of at least 1"
    raise MetadataError(node, "chunk_grid.chunk_shape", found=sides, expected=expected)


def key_encoding_of(document: dict[str, Any], *, node: str) -> KeyEncoding:
    """Read how the keys of an array's stored objects are written (Zarr core v3, chunk key encoding).

    Raises
    ------
    UnsupportedError
        If the encoding is none of "default" and "v2".
    MetadataError
        If the separator is none of "/" and ".".
    """
    encoding = document.get("chunk_key_encoding")
    name = encoding.get("name") if isinstance(encoding, dict) else None
    configuration = encoding.get("configuration") or {} if isinstance(encoding, dict) else {}
    if name not in ("default", "v2") or not isinstance(configuration, dict):
        raise UnsupportedError(f"chunk key encoding {name!r} of {node}", "known: 'default', 'v2'")
    separator = configuration.get("separator", "/" if name == "default" else ".")
    if separator not in ("/", "."):
        raise MetadataError(node, "chunk_key_encoding.separator", found=separator, expected="'/' or '.'")
    return KeyEncoding(separator, f"c{separator}" if name == "default" else "")


def group_document(attributes: dict[str, Any], *, zarr_format: int = 3) -> dict[str, Any]:
    """Return the `zarr.json` of a group, or a document of Zarr v2 in that form."""
    return {"zarr_format": zarr_format, "node_type": "group", "attributes": attributes}


def array_document(layout: ArrayLayout, *, codecs: list[dict[str, Any]], attributes: dict[str, Any]) -> dict[str, Any]:
    """Return the `zarr.json` of an array, or a document of Zarr v2 in that form.

    Parameters
    ----------
    layout : ArrayLayout
        Shapes, dtype, fill value.
    codecs : list of dict
        Chain of one chunk; it is wrapped in `sharding_indexed` where the layout has shards.
    attributes : dict
        User attributes.
    """
    if layout.shard is not None:
        codecs = [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": list(layout.chunk),
                    "codecs": codecs,
                    "index_codecs": [
                        {"name": "bytes", "configuration": {"endian": "little"}},
                        {"name": "crc32c"},
                    ],
                    "index_location": "end",
                },
            }
        ]
    key_encoding = {"name": "default" if layout.zarr_format == 3 else "v2"}
    return {
        "zarr_format": layout.zarr_format,
        "node_type": "array",
        "shape": list(layout.shape),
        "data_type": layout.dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": list(layout.object_shape)},
        },
        "chunk_key_encoding": {**key_encoding, "configuration": {"separator": layout.keys.separator}},
        "fill_value": cf.encode_fill_value(layout.fill_value, layout.dtype),
        "codecs": codecs,
        "attributes": attributes,
        "dimension_names": list(layout.dimensions),
        "storage_transformers": [],
    }


def consolidate(root: dict[str, Any], nodes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return a group's document with the documents of all nodes below it inside (ZARR-20).

    Parameters
    ----------
    root : dict
        The group's own document.
    nodes : dict
        Documents by path relative to the group, in the order they are to stand: GDAL resolves `grid_mapping` only to
        entries already read, so `spatial_ref` must come before the data arrays.
    """
    return {
        **root,
        "consolidated_metadata": {"kind": "inline", "must_understand": False, "metadata": nodes},
    }


def reading_order(paths: Iterable[str]) -> list[str]:
    """Sort paths of nodes as consolidated metadata should have them.

    A group and all below it stand together, since zarr-python (3.4) loses nodes that do not; `spatial_ref` comes before
    what names it, since GDAL looks for a grid mapping among what it has read already.
    """
    return sorted(paths, key=lambda path: [(name != "spatial_ref", name) for name in path.split("/")])


def consolidated_nodes(document: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """Return the consolidated documents of a group by relative path; None where it has none of this form."""
    block = document.get("consolidated_metadata")
    if not isinstance(block, dict) or block.get("kind") != "inline":
        return None
    nodes = block.get("metadata")
    return nodes if isinstance(nodes, dict) else None


def dtype_of(document: dict[str, Any], *, node: str) -> np.dtype[Any]:
    """Read the `data_type` of an array document.

    Raises
    ------
    MetadataError
        If it is not one of the fixed-size numbers and booleans of the core specification.
    """
    name = document.get("data_type")
    if name not in DATA_TYPES:
        raise MetadataError(node, "data_type", found=name, expected="a boolean, integer or float data type")
    dtype: np.dtype[Any] = np.dtype(str(name))
    return dtype
