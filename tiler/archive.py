"""PMTiles 3: many tiles in one file, which clients read by ranges.

The `pmtiles` library knows how directories and the header are written. Its own writer keeps an object for each tile and
tells equal tiles by Python's hash; here an entry takes 28 bytes, and equal tiles are told by a digest.

Reference: https://github.com/protomaps/PMTiles/blob/main/spec/v3/spec.md
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from array import array
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from pmtiles.tile import Compression, Entry, TileType, serialize_directory, serialize_header, tileid_to_zxy

from geozarr.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from geozarr.grid import Bounds

TILE_TYPES = {"png": TileType.PNG, "jpg": TileType.JPEG, "webp": TileType.WEBP}
_HEADER = 127  # bytes
_ROOT = 16_384 - _HEADER  # bytes at most: header and root directory are fetched at once
_LEAF = 4096  # entries; doubled until the root fits
_KNOWN = 65_536  # different tiles that are remembered to be told from new ones: sea, forest, no change


class Archive:
    """An archive that is written: to a temporary name, and put into its place whole at the end.

    Parameters
    ----------
    path : Path
        Its place; what is there is replaced.

    Raises
    ------
    StoreError
        If the file system refuses, from here on in all methods.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._data_path = path.with_name(f".{path.name}.{os.getpid()}.tiles")
        self._whole_path = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._ids, self._offsets = array("Q"), array("Q")
        self._lengths, self._runs = array("I"), array("I")
        self._known: OrderedDict[bytes, int] = OrderedDict()
        self._contents = self._size = self._count = 0

    def __enter__(self) -> Self:
        try:
            self._data = self._data_path.open("wb")
        except OSError as error:
            raise StoreError("put", str(self._path), reason=str(error)) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._data.close()
        for path in (self._data_path, self._whole_path):
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def add(self, tile_id: int, data: bytes) -> None:
        """Add a tile.

        Parameters
        ----------
        tile_id : int
            As PMTiles counts tiles; greater than that of all tiles before.
        data : bytes
            The tile.
        """
        assert not self._ids or tile_id >= self._ids[-1] + self._runs[-1], "tiles come in their order"
        digest = hashlib.blake2b(data, digest_size=16).digest()
        offset = self._known.get(digest)
        if offset is None:
            try:
                self._data.write(data)
            except OSError as error:
                raise StoreError("put", str(self._path), reason=str(error)) from error
            offset = self._size
            self._size += len(data)
            self._contents += 1
            self._known[digest] = offset
            if len(self._known) > _KNOWN:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(digest)
        self._count += 1
        if self._ids and offset == self._offsets[-1] and tile_id == self._ids[-1] + self._runs[-1]:
            self._runs[-1] += 1
            return
        self._ids.append(tile_id)
        self._offsets.append(offset)
        self._lengths.append(len(data))
        self._runs.append(1)

    @property
    def count(self) -> int:
        """Tiles that have been added."""
        return self._count

    @property
    def zooms(self) -> tuple[int, int]:
        """Least and greatest zoom of the tiles."""
        return tileid_to_zxy(self._ids[0])[0], tileid_to_zxy(self._ids[-1] + self._runs[-1] - 1)[0]

    def finish(
        self, *, image_format: str, bounds: Bounds, center: tuple[float, float, int], metadata: dict[str, Any]
    ) -> None:
        """Put the archive into its place.

        Parameters
        ----------
        image_format : str
            A key of `TILE_TYPES`.
        bounds : Bounds
            Of the tiles, in degrees.
        center : tuple of (float, float, int)
            Longitude, latitude and zoom that a map begins with.
        metadata : dict
            JSON.
        """
        root, leaves = self._directories()
        text = gzip.compress(json.dumps(metadata, ensure_ascii=False).encode(), mtime=0)
        min_zoom, max_zoom = self.zooms
        header = serialize_header(
            {
                "version": 3,
                "root_offset": _HEADER,
                "root_length": len(root),
                "metadata_offset": _HEADER + len(root),
                "metadata_length": len(text),
                "leaf_directory_offset": _HEADER + len(root) + len(text),
                "leaf_directory_length": len(leaves),
                "tile_data_offset": _HEADER + len(root) + len(text) + len(leaves),
                "tile_data_length": self._size,
                "addressed_tiles_count": self._count,
                "tile_entries_count": len(self._ids),
                "tile_contents_count": self._contents,
                "clustered": True,
                "internal_compression": Compression.GZIP,
                "tile_compression": Compression.NONE,
                "tile_type": TILE_TYPES[image_format],
                "min_zoom": min_zoom,
                "max_zoom": max_zoom,
                "min_lon_e7": _e7(bounds.xmin),
                "min_lat_e7": _e7(bounds.ymin),
                "max_lon_e7": _e7(bounds.xmax),
                "max_lat_e7": _e7(bounds.ymax),
                "center_zoom": center[2],
                "center_lon_e7": _e7(center[0]),
                "center_lat_e7": _e7(center[1]),
            }
        )
        try:
            self._data.close()
            with self._whole_path.open("wb") as whole, self._data_path.open("rb") as data:
                whole.write(b"".join((header, root, text, leaves)))
                shutil.copyfileobj(data, whole, 2**20)
                whole.flush()
                os.fsync(whole.fileno())
            self._whole_path.replace(self._path)
        except OSError as error:
            raise StoreError("put", str(self._path), reason=str(error)) from error

    def _directories(self) -> tuple[bytes, bytes]:
        """Write the root directory, and the leaves that it names where it would be too large for all tiles."""
        size = _LEAF
        if len(self._ids) <= size:
            root = serialize_directory(self._entries(0, len(self._ids)))
            if len(root) <= _ROOT:
                return root, b""
        while True:
            leaves, named = [], []
            offset = 0
            for first in range(0, len(self._ids), size):
                leaf = serialize_directory(self._entries(first, first + size))
                named.append(Entry(self._ids[first], offset, len(leaf), 0))
                leaves.append(leaf)
                offset += len(leaf)
            root = serialize_directory(named)
            if len(root) <= _ROOT:
                return root, b"".join(leaves)
            size *= 2

    def _entries(self, first: int, stop: int) -> list[Entry]:
        columns = (self._ids, self._offsets, self._lengths, self._runs)
        return [Entry(*values) for values in zip(*(column[first:stop] for column in columns), strict=True)]


def _e7(degrees: float) -> int:
    return round(degrees * 1e7)
