"""The floor: decode the source once and encode the output once, with the same codecs and threads, and nothing else.

Decoding is timed with the values thrown away. Encoding takes the very arrays that our pyramid of the same job holds:
a batch is read back untimed, then encoded with the project's own encoder and written under the clock. There is no warp,
no mean, no mask, no statistics, no coordinate, no document; no builder that writes these bytes from that source with
these codecs can be faster.
"""

from __future__ import annotations

import math
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import zarr
import zarr.codecs
from child import run
from numcodecs import blosc
from rasterio.windows import Window

from pyramids import shards

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

BATCH = 256 * 2**20  # bytes of decoded output held at once
STRIP = 4  # source blocks read in one call: the cost of the call itself is spread


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Time both halves; the record's seconds are their sum, not those of the batches between."""
    blosc.use_threads = False
    threads = job["threads"]
    source = Path(job["source"])
    with ThreadPoolExecutor(threads) as pool:
        decode = _timed(pool, _decode_zarr(source) if source.is_dir() else _decode_tiff(source))
        encode = _Clock()
        target = Path(job["target"])
        for array in _arrays(Path(job["pyramid"])):
            _encode_array(array, target, pool, encode)
    seconds = {"decode": decode.seconds, "encode": encode.seconds}
    cpu = decode.cpu + encode.cpu
    return {"seconds": sum(seconds.values()), "cpu_seconds": cpu, "floor": seconds}


class _Clock:
    """Wall and CPU seconds of the parts that count."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.cpu = 0.0

    def __enter__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.seconds += time.perf_counter() - self._wall
        self.cpu += time.process_time() - self._cpu


def _timed(pool: ThreadPoolExecutor, tasks: Iterable[Callable[[], object]]) -> _Clock:
    clock = _Clock()
    prepared = list(tasks)
    with clock:
        for _ in pool.map(lambda task: task(), prepared):
            pass
    return clock


def _decode_tiff(path: Path) -> list[Callable[[], object]]:
    """One task a strip of blocks that are there; each thread has a handle of its own, as GDAL wants it."""
    local = threading.local()

    def read(window: Window) -> None:
        if not hasattr(local, "dataset"):
            local.dataset = rasterio.open(path)
        local.dataset.read(window=window)

    with rasterio.open(path) as dataset:
        height, width = dataset.shape
        down, across = dataset.block_shapes[0]
        step = across * STRIP
        windows = [
            Window(col, row, min(step, width - col), min(down, height - row))
            for row, col in product(range(0, height, down), range(0, width, step))
            if any(
                dataset.get_tag_item(f"BLOCK_OFFSET_{block}_{row // down}", "TIFF", bidx=1)
                for block in range(col // across, min(col // across + STRIP, -(-width // across)))
            )
        ]
    return [lambda window=window: read(window) for window in windows]  # type: ignore[misc]


def _decode_zarr(path: Path) -> list[Callable[[], object]]:
    """One task a shard, in the layout that `inputs.make_zarr` writes: blosc, index with crc32c at the end."""
    tasks: list[Callable[[], object]] = []
    for name, array in zarr.open_group(path, mode="r").arrays():
        if array.ndim == 2 and array.shards:
            count = math.prod(a // b for a, b in zip(array.shards, array.chunks, strict=True))
            files = sorted((path / name / "c").rglob("*"))
            tasks += [lambda file=file, n=count: _decode_shard(file, n) for file in files if file.is_file()]  # type: ignore[misc]
    return tasks


def _decode_shard(file: Path, count: int) -> None:
    data = file.read_bytes()
    index = struct.unpack(f"<{2 * count}Q", data[-16 * count - 4 : -4])
    for offset, length in zip(index[::2], index[1::2], strict=True):
        if offset != shards.ABSENT:
            blosc.decompress(data[offset : offset + length])


def _arrays(pyramid: Path) -> list[zarr.Array[Any]]:
    """All stored rasters of our pyramid: every array of two dimensions and more."""
    root = zarr.open_group(pyramid, mode="r")
    return [array for _, group in root.groups() for _, array in group.arrays() if array.ndim >= 2]


def _encode_array(array: zarr.Array[Any], target: Path, pool: ThreadPoolExecutor, clock: _Clock) -> None:
    """Encode and write, batch by batch, the objects that the pyramid holds."""
    sides = array.shards or array.chunks
    codec = _codec_of(array)
    root = Path(str(array.store_path.store.root)) / array.path / "c"
    keys = sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())
    batch = max(1, BATCH // (math.prod(sides) * array.dtype.itemsize))
    for start in range(0, len(keys), batch):
        loaded = [(target / array.path / key, _chunks(array, key, sides)) for key in keys[start : start + batch]]
        with clock:
            for _ in pool.map(lambda item: _store(*item, codec=codec, sharded=bool(array.shards)), loaded):
                pass


def _chunks(array: zarr.Array[Any], key: Path, sides: tuple[int, ...]) -> list[NDArray[Any] | None]:
    """Read an object back as its chunks, whole ones; None for those without data."""
    place = [int(part) for part in key.parts]
    values = np.asarray(array[tuple(slice(i * side, (i + 1) * side) for i, side in zip(place, sides, strict=True))])
    missing = [(0, side - size) for side, size in zip(sides, values.shape, strict=True)]
    values = np.pad(values, missing, constant_values=array.fill_value)
    starts = product(*(range(0, side, chunk) for side, chunk in zip(sides, array.chunks, strict=True)))
    pieces = [values[tuple(slice(a, a + c) for a, c in zip(start, array.chunks, strict=True))] for start in starts]
    fill = np.asarray(array.fill_value, values.dtype)
    return [
        None if np.array_equal(piece, np.full_like(piece, fill), equal_nan=fill.dtype.kind == "f") else piece.copy()
        for piece in pieces
    ]


def _codec_of(array: zarr.Array[Any]) -> shards.Codec:
    """How the pyramid's own chunks are compressed."""
    if array.shards is None:
        blosc_codec = array.compressors[-1]
    else:
        inner = array.metadata.codecs[0].codecs
        blosc_codec = next(codec for codec in inner if isinstance(codec, zarr.codecs.BloscCodec))
    return shards.Codec(str(blosc_codec.shuffle.value), clevel=int(blosc_codec.clevel))


def _store(path: Path, pieces: list[NDArray[Any] | None], *, codec: shards.Codec, sharded: bool) -> None:
    encoded = [None if piece is None else shards.encode_chunk(piece, codec) for piece in pieces]
    data = shards.encode_shard(encoded) if sharded else b"".join(part for part in encoded if part is not None)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


if __name__ == "__main__":
    run(work, packages=("numpy", "rasterio", "numcodecs"))
