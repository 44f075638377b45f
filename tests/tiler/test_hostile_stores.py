"""Stores that mean harm: bombs, documents, geometry, codecs, names, CRS (docs/security.md, T4 to T8, T18, T22).

Each is served beside a good one. It is answered by 502, or listed with an error; the log says what was found and what
was expected; and the other one does not notice.
"""

from __future__ import annotations

import copy
import gzip
import json
import logging
import random
import struct
import sys
import threading
import time
import xml.etree.ElementTree as ET
import zlib
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
import pyproj
import pytest
from numcodecs import blosc, zstd
from numcodecs import registry as numcodecs_registry

import hostile
from geozarr import codecs, manifest, store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.testclient import TestClient

    from hostile import Objects

GROWTH = 64 * 2**20  # bytes that a bomb may cost
SECONDS = 10.0  # the deadline: who is answered later was answered that it is late
UTM = pyproj.CRS(hostile.CRS).to_wkt()
TILE = "tiles/WebMercatorQuad/7/26/48.npy"  # holds the whole of a forged pyramid
GOOD = hostile.pyramid()


def one_level(**options: Any) -> dict[str, Any]:
    """A pyramid of one level of 64 x 64 cells, and so of one chunk."""
    return hostile.pyramid(**{"shape": (64, 64), "levels": 1, **options})


def damaged_after(client: TestClient, path: str) -> float:
    """Ask for what cannot be had; return the seconds that it takes to be told so."""
    begun = time.monotonic()
    response = client.get(path)
    took = time.monotonic() - begun
    assert (response.status_code, response.headers["cache-control"]) == (502, "no-store"), response.text[:200]
    assert response.json() == {"detail": "the dataset is damaged or cannot be read"}
    assert took < SECONDS
    return took


def require_refused(place: Any, kind: str, caplog: pytest.LogCaptureFixture, *paths: str) -> None:
    """Serve a store beside a good one: it is 502 at little cost, and the log names the kind of error."""
    with hostile.growing() as growth, hostile.serving(bad=place, good=hostile.store(GOOD)) as client:
        for path in paths or ("info",):
            caplog.clear()
            damaged_after(client, f"/bad/{path}")
            (told,) = (record for record in caplog.records if record.levelname == "ERROR")
            assert f": {kind}: " in told.getMessage()
            assert told.name.startswith("tiler")
        assert client.get("/good/info").status_code == 200
        assert client.get(f"/good/{TILE}").status_code == 200
        if not paths:
            bad, good = client.get("/").json()["datasets"]
            assert bad == {"name": "bad", "error": "the dataset is damaged or cannot be read"}
            assert "error" not in good
            collections = client.get("/collections").json()["collections"]
            assert [item["id"] for item in collections] == ["good"]
    assert growth.peak < GROWTH


# Bombs are what T4 is about.


def zstd_of_zeros(size: int, stated: int | None) -> bytes:
    """Frame that unpacks to zeros, four bytes for each 128 KiB of them, whatever it states (RFC 8878, 3.1.1)."""
    count, block = size // 2**17, 2**17
    # Content size of 4 bytes in a single segment; or none, and a window of 128 KiB.
    head = b"\xa0" + struct.pack("<I", stated) if stated is not None else b"\x00\x38"
    blocks = (struct.pack("<I", block << 3 | 1 << 1 | (number == count - 1))[:3] + b"\0" for number in range(count))
    return b"\x28\xb5\x2f\xfd" + head + b"".join(blocks)


def gzip_of_zeros(size: int) -> bytes:
    """Stream that unpacks to zeros, made of the same 16 MiB again and again (RFC 1952)."""
    part, last = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros, count, crc = bytes(2**24), size // 2**24, 0
    repeated = part.compress(zeros) + part.flush(zlib.Z_FULL_FLUSH)
    for _ in range(count):
        crc = zlib.crc32(zeros, crc)
    return gzip.compress(b"")[:10] + repeated * count + last.flush() + struct.pack("<II", crc, size % 2**32)


def blosc_of_zeros(size: int, stated: int) -> bytes:
    packed = bytearray(blosc.compress(bytes(size), b"zstd", 9, 1))
    struct.pack_into("<I", packed, 4, stated)
    return bytes(packed)


def test_t4_the_bombs_are_bombs() -> None:
    assert zstd.decompress(zstd_of_zeros(2**20, 2**20)) == bytes(2**20)
    decoder = zlib.decompressobj(wbits=31)
    assert len(decoder.decompress(gzip_of_zeros(2**26))) == 2**26
    assert blosc.decompress(blosc_of_zeros(2**20, 2**20)) == bytes(2**20)
    assert len(zstd_of_zeros(2**30, 2**30)) < 33_000


CHUNK = 64 * 64  # bytes of the one chunk of `one_level`
BOMB = zstd_of_zeros(2**30, 2**30)
BOMBS = {
    "zstd, 1 GiB": (["zstd"], lambda: BOMB, "LimitError"),
    "zstd, 1 GiB that it denies": (["zstd"], lambda: zstd_of_zeros(2**30, CHUNK), "ChunkReadError"),
    "zstd, 1 GiB that it does not state": (["zstd"], lambda: zstd_of_zeros(2**30, None), "ChunkReadError"),
    "gzip, 1 GiB": (["gzip"], lambda: gzip_of_zeros(2**30), "LimitError"),
    "gzip, 64 MiB in 64 KiB": (["gzip"], lambda: gzip_of_zeros(2**26), "LimitError"),
    "blosc, 256 MiB": (["blosc"], lambda: blosc_of_zeros(2**28, 2**28), "LimitError"),
    "blosc, 256 MiB that it denies": (["blosc"], lambda: blosc_of_zeros(2**28, CHUNK), "ChunkReadError"),
    "gzip in gzip": (["gzip", "gzip"], lambda: gzip.compress(gzip_of_zeros(2**26)), "LimitError"),
    "zstd in gzip": (["zstd", "gzip"], lambda: gzip.compress(BOMB), "LimitError"),
    "zstd seven deep": (["zstd"] * 7, lambda: BOMB, "LimitError"),
    "crc32c over it": (["zstd", "crc32c"], lambda: BOMB + struct.pack("<I", google_crc32c.value(BOMB)), "LimitError"),
    "plainly larger": ([], lambda: bytes(2**20), "LimitError"),
}


def packed(names: list[str]) -> list[dict[str, Any]]:
    return [*hostile.RAW, *({"name": name, "configuration": {}} for name in names)]


@pytest.mark.parametrize("case", BOMBS)
def test_t4_a_bomb_is_refused_in_bounded_memory(case: str, caplog: pytest.LogCaptureFixture) -> None:
    names, made, kind = BOMBS[case]
    document = one_level(arrays={"v": {"codecs": packed(names)}})
    data = made()
    require_refused(hostile.store(document, **{"0/v/c/0/0": data}), kind, caplog, TILE, "point/-105.6,39.9")


def shard_of(chunk: bytes, entry: tuple[int, int]) -> bytes:
    """A shard of one chunk, with any entry in its index."""
    index = struct.pack("<QQ", *entry)
    return chunk + index + struct.pack("<I", google_crc32c.value(index))


SHARDS = {
    "a bomb within": (shard_of(BOMB, (0, len(BOMB))), ["zstd"], "LimitError"),
    "a chunk of 2**62 bytes": (shard_of(b"", (0, 2**62)), [], "LimitError"),
    "an offset of 2**63": (shard_of(bytes(CHUNK), (2**63, CHUNK)), [], "ChunkReadError"),
    "an end that overflows": (shard_of(bytes(CHUNK), (2**64 - CHUNK, CHUNK)), [], "ChunkReadError"),
    "an offset without a length": (shard_of(bytes(CHUNK), (2**64 - 1, 0)), [], "ChunkReadError"),
    "a length without an offset": (shard_of(bytes(CHUNK), (0, 2**64 - 1)), [], "LimitError"),
    "no bytes": (shard_of(bytes(CHUNK), (0, 0)), [], "ChunkReadError"),
    "its own index as a chunk": (shard_of(bytes(CHUNK - 20), (0, CHUNK)), ["crc32c"], "ChunkReadError"),
    "nothing but half an index": (bytes(10), [], "ChunkReadError"),
}


@pytest.mark.parametrize("case", SHARDS)
def test_t4_the_index_of_a_shard_is_not_believed(case: str, caplog: pytest.LogCaptureFixture) -> None:
    data, names, kind = SHARDS[case]
    sharded = hostile.sharded(chunk=(64, 64), codecs=packed(names))
    place = hostile.store(one_level(arrays={"v": {"codecs": sharded}}), **{"0/v/c/0/0": data})
    require_refused(place, kind, caplog, TILE)


def with_steps(size: int, data: bytes, **options: Any) -> Objects:
    """A pyramid whose dimension t has a coordinate of one chunk."""
    arrays = {"v": {"leading": (size,), "names": ("t", "y", "x"), "chunk": (1, 64, 64)}}
    coordinate = hostile.array((size,), names=("t",), chunk=(size,), **options)
    return hostile.store(one_level(arrays=arrays, beside={"0/t": coordinate}), **{"0/t/c/0": data})


@pytest.mark.parametrize("data", [BOMB, zstd_of_zeros(2**30, 4 * 8), b"", b"\0"], ids=len)
def test_t4_a_coordinate_is_a_chunk_like_any_other(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    place = with_steps(4, data, dtype="float64", codecs=packed(["zstd"]))
    with hostile.growing() as growth, hostile.serving(bad=place) as client:
        for path in ("dimensions", "info", f"{TILE}?sel=t=1", "point/-105.6,39.9?sel=t=1", "WMTSCapabilities.xml"):
            damaged_after(client, f"/bad/{path}")
        assert client.get("/collections").json()["collections"] == []
        assert client.get(f"/bad/{TILE}").status_code == 200  # which does not need it
    assert growth.peak < GROWTH
    assert "Error: " in caplog.text


def listed(document: dict[str, Any], **objects: bytes) -> Objects:
    """Name a manifest in a root document, as builds do."""
    body = objects[".build/b1/manifest.json"]
    entry = {"key": ".build/b1/manifest.json", "length": len(body), "crc32": zlib.crc32(body)}
    document = copy.deepcopy(document)
    document["attributes"][manifest.ATTRIBUTE] = {"build": "b1", "manifest": entry}
    return hostile.store(document, **objects)


def a_manifest(piece: bytes, grid: list[int]) -> bytes:
    item = {"grid": grid, "pieces": [[0, len(piece), zlib.crc32(piece)]]}
    return json.dumps({"format": manifest.FORMAT, "arrays": {"0/v": item}, "objects": []}).encode()


def test_t4_a_piece_of_a_manifest_is_unpacked_up_to_its_size(caplog: pytest.LogCaptureFixture) -> None:
    for piece in (zlib.compress(bytes(2**28), 9), bytes(2**22)):
        objects = {".build/b1/manifest.json": a_manifest(piece, [1, 1]), ".build/b1/manifest/0/v/0": piece}
        kind = "ChunkReadError" if piece[0] else "LimitError"
        require_refused(listed(one_level(), **objects), kind, caplog, TILE)


def test_t5_a_manifest_is_a_document_with_limits(caplog: pytest.LogCaptureFixture) -> None:
    large = json.dumps({"format": manifest.FORMAT, "arrays": {}, "objects": [["a", 1, 1]] * 400_000}).encode()
    assert len(large) > 4 * 2**20
    require_refused(listed(one_level(), **{".build/b1/manifest.json": large}), "LimitError", caplog)
    deep = b'{"format": 2, "arrays": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    for data, kind in ((deep, "LimitError"), (b'{"format": 2}', "MetadataError"), (b"{", "MetadataError")):
        require_refused(listed(one_level(), **{".build/b1/manifest.json": data}), kind, caplog, TILE)


# Documents are what T5 is about.


def encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


def nested(document: dict[str, Any], depth: int) -> bytes:
    """Put something of any depth into the attributes, which are at depth 2 themselves."""
    text = json.dumps({**document["attributes"], "deep": "HERE"})
    whole = json.dumps({**document, "attributes": "ALL"}).replace('"ALL"', text)
    return whole.replace('"HERE"', "[" * (depth - 2) + "]" * (depth - 2)).encode()


def many_nodes(count: int) -> dict[str, Any]:
    beside = {f"other{number}": hostile.group() for number in range(count - len(nodes_of(GOOD)))}
    return hostile.pyramid(beside=beside)


def nodes_of(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["consolidated_metadata"]["metadata"]
    return found


def deep_group(depth: int) -> dict[str, Any]:
    return hostile.pyramid(beside={"/".join(["g"] * depth): hostile.group()})


TEXT = encoded(GOOD)
DOCUMENTS = {
    "empty": (b"", "MetadataError"),
    "blank": (b" " * 1000, "MetadataError"),
    "null": (b"null", "MetadataError"),
    "an array": (b"[]", "MetadataError"),
    "a text": (b'"zarr"', "MetadataError"),
    "cut in the middle": (TEXT[: len(TEXT) // 2], "MetadataError"),
    "cut at the end": (TEXT[:-1], "MetadataError"),
    "twice": (TEXT * 2, "MetadataError"),
    "latin-1": (TEXT.replace(b'"name"', '"\xfc"'.encode("latin-1")), "MetadataError"),
    "utf-16": (TEXT.decode().encode("utf-16"), "MetadataError"),
    "byte order mark": (b"\xef\xbb\xbf" + TEXT, "MetadataError"),
    "bytes of no text": (bytes(range(256)), "MetadataError"),
    "one byte too large": (TEXT + b" " * (4 * 2**20 + 1 - len(TEXT)), "LimitError"),
    "64 MiB": (b'{"a": "' + b"a" * 2**26 + b'"}', "LimitError"),
    "one level too deep": (nested(GOOD, 65), "LimitError"),
    "100,000 arrays deep": (nested(GOOD, 100_000), "LimitError"),
    "100,000 objects deep": (b'{"a":' * 100_000, "LimitError"),
    "a key twice": (TEXT.replace(b'"zarr_format": 3', b'"zarr_format": 3, "zarr_format": 3', 1), "MetadataError"),
    "a node twice": (TEXT.replace(b'"metadata": {', b'"metadata": {"0": {}, ', 1), "MetadataError"),
    "a number of 10,000 digits": (TEXT.replace(b'"fill_value": 0', b'"fill_value": ' + b"9" * 10_000), "MetadataError"),
    "one node too many": (encoded(many_nodes(2001)), "LimitError"),
    "groups one too deep": (encoded(deep_group(17)), "LimitError"),
    "not Zarr 3": (encoded({**GOOD, "zarr_format": 2}), "MetadataError"),
    "an array at the root": (encoded({**GOOD, "node_type": "array"}), "MetadataError"),
    "attributes of no object": (encoded({**GOOD, "attributes": [1]}), "MetadataError"),
    "no levels": (encoded(hostile.group()), "MetadataError"),
}


@pytest.mark.parametrize("case", DOCUMENTS)
def test_t5_a_hostile_document_is_refused(case: str, caplog: pytest.LogCaptureFixture) -> None:
    data, kind = DOCUMENTS[case]
    require_refused(hostile.store(data), kind, caplog)


def test_t5_what_is_just_within_the_limits_is_served() -> None:
    just = [
        TEXT + b" " * (4 * 2**20 - len(TEXT)),
        nested(GOOD, 64),
        encoded(many_nodes(2000)),
        encoded(deep_group(16)),
        TEXT.replace(b'"spatial:dimensions"', b'"odd": [NaN, Infinity, -Infinity], "spatial:dimensions"', 1),
        encoded(hostile.pyramid(arrays={"v": {"attributes": {"long_name": "\ud800"}}})),
    ]
    with hostile.serving(**{f"d{number}": hostile.store(data) for number, data in enumerate(just)}) as client:
        for number in range(len(just)):
            for path in ("info", TILE, "WMTSCapabilities.xml", "legend.json"):
                assert client.get(f"/d{number}/{path}").status_code == 200


LIMITS = {"document_bytes": len(TEXT) - 1, "document_depth": 8, "document_nodes": 3}


@pytest.mark.parametrize("name", LIMITS)
def test_t5_the_limits_are_settings(name: str, caplog: pytest.LogCaptureFixture) -> None:
    document = nested(GOOD, 9) if name == "document_depth" else TEXT
    with hostile.serving(bad=hostile.store(document), **{f"set_{name}": LIMITS[name]}) as client:
        damaged_after(client, "/bad/info")
    assert ": LimitError: " in caplog.text


def unconsolidated(document: dict[str, Any]) -> Objects:
    """The same documents, each in its own object."""
    nodes = nodes_of(document)
    root = {key: value for key, value in document.items() if key != "consolidated_metadata"}
    place = hostile.store(root)
    place.objects |= {f"{path}/zarr.json": encoded(node) for path, node in nodes.items()}
    return place


def test_t5_documents_of_their_own_have_the_same_limits(caplog: pytest.LogCaptureFixture) -> None:
    with hostile.serving(good=unconsolidated(GOOD)) as client:
        assert client.get(f"/good/{TILE}").status_code == 200
    for data, kind in (
        (b"{", "MetadataError"),
        (b'{"a": 1, "a": 2}', "MetadataError"),
        (b" " * (4 * 2**20 + 1), "LimitError"),
        (b"[" * 65, "LimitError"),
    ):
        place = unconsolidated(GOOD)
        place.objects["0/v/zarr.json"] = data
        require_refused(place, kind, caplog)
    for place in (unconsolidated(many_nodes(2001)), unconsolidated(many_nodes(2500))):
        require_refused(place, "LimitError", caplog)
        assert len(place.asked) < 2100
    groups = {"/".join(["g"] * depth): hostile.group() for depth in range(1, 18)}
    require_refused(unconsolidated(hostile.pyramid(beside=groups)), "LimitError", caplog)


def test_t5_folders_without_documents_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    place = unconsolidated(GOOD)
    place.objects |= {f"folder{number}/other": b"" for number in range(5000)}
    require_refused(place, "LimitError", caplog)
    assert len(place.asked) < 10


def test_t5_a_large_document_is_parsed_once_and_not_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, threads = json.loads, []

    def counted(*arguments: Any, **options: Any) -> Any:
        threads.append(threading.current_thread().name)
        return parse(*arguments, **options)

    large = hostile.store(encoded(many_nodes(1900)))
    bad = hostile.store(TEXT[:-1] + b" " * 4_000_000)
    monkeypatch.setattr(store.json, "loads", counted)
    with hostile.serving(large=large, bad=bad) as client:
        monkeypatch.setattr(store.json, "loads", counted)
        for path in ("info", "dimensions", TILE, "point/-105.6,39.9", "map", "tiles") * 3:
            assert client.get(f"/large/{path}").status_code == 200
            assert client.get(f"/bad/{path}").status_code == 502
        assert large.asked.count("zarr.json") == bad.asked.count("zarr.json") == 1
    assert len(threads) == 2
    assert all(name.startswith("render-") for name in threads)


# Geometry is what T6 is about.

TINY = (1e-300, 0.0, 0.0, 0.0, -1e-300, 0.0)
NAMES8 = (*"abcdef", "y", "x")


def own_set(tile: int, *, count: int = 1, cell: float = hostile.CELL, tiles: int = 1) -> dict[str, Any]:
    """Tile matrices of the store's own, and the limits of the first."""
    matrices = [
        {
            "id": str(number),
            "scaleDenominator": cell / 0.00028 / 2**number,
            "cellSize": cell / 2**number,
            "pointOfOrigin": [hostile.LEFT, hostile.TOP],
            "tileWidth": tile,
            "tileHeight": tile,
            "matrixWidth": tiles,
            "matrixHeight": tiles,
        }
        for number in range(count)
    ]
    limits = {"minTileRow": 0, "maxTileRow": tiles - 1, "minTileCol": 0, "maxTileCol": tiles - 1}
    crs = "http://www.opengis.net/def/crs/EPSG/0/32613"
    return {
        "tileMatrixSet": {"id": "own", "crs": crs, "tileMatrices": matrices},
        "tileMatrixSetLimits": [{"tileMatrix": "0", **limits}],
    }


def with_finest(shape: tuple[int, int], transform: tuple[float, ...]) -> dict[str, Any]:
    """A level of any geometry before all others, with no array in it that could contradict."""
    document = hostile.pyramid()
    item = {"asset": "f", "spatial:shape": list(shape), "spatial:transform": list(transform)}
    document["attributes"]["multiscales"]["layout"].insert(0, item)
    nodes_of(document)["f"] = hostile.group()
    return document


ABSURD = {
    "41 levels": (hostile.pyramid(levels=41), "LimitError"),
    "40,000 levels": (hostile.pyramid(levels=1, multiscales={"layout": [{}] * 40_000}), "LimitError"),
    "65 tile matrices": (one_level(multiscales=own_set(64, count=65)), "LimitError"),
    "20,000 tile matrices": (one_level(multiscales={"tileMatrixSet": {"tileMatrices": [{}] * 20_000}}), "LimitError"),
    "nine dimensions": (
        one_level(arrays={"v": {"leading": [1] * 7, "names": (*"abcdefg", "y", "x"), "chunk": [1] * 7 + [64, 64]}}),
        "LimitError",
    ),
    "a chunk of 64 MiB and more": (
        one_level(arrays={"v": {"leading": [2**15], "names": ("t", "y", "x"), "chunk": [2**15, 64, 64]}}),
        "LimitError",
    ),
    "a chunk whose product overflows": (
        one_level(arrays={"v": {"leading": [2**62] * 6, "names": NAMES8, "chunk": [2**62] * 6 + [64, 64]}}),
        "LimitError",
    ),
    "a chunk of 2**62 rows": (one_level(arrays={"v": {"chunk": (2**62, 2**62)}}), "LimitError"),
    "a chunk of no rows": (one_level(arrays={"v": {"chunk": (0, 64)}}), "MetadataError"),
    "a chunk of minus one row": (one_level(arrays={"v": {"chunk": (-1, 64)}}), "MetadataError"),
    "a shard index of 16 MiB and more": (
        one_level(arrays={"v": {"chunk": (2**10, 2**10 + 1), "codecs": hostile.sharded(chunk=(1, 1))}}),
        "LimitError",
    ),
    "a shard index that overflows": (
        one_level(arrays={"v": {"chunk": (2**62, 2**62), "codecs": hostile.sharded(chunk=(1, 1))}}),
        "LimitError",
    ),
    "a shard in a shard": (
        one_level(
            arrays={
                "v": {
                    "chunk": (64, 64),
                    "codecs": hostile.sharded(chunk=(32, 32), codecs=hostile.sharded(chunk=(16, 16))),
                }
            }
        ),
        "UnsupportedError",
    ),
    "a shard of no whole chunks": (
        one_level(arrays={"v": {"chunk": (64, 64), "codecs": hostile.sharded(chunk=(3, 3))}}),
        "MetadataError",
    ),
    "300,000 labels": (
        one_level(
            arrays={
                f"v{n}": {"leading": [60_000 + n], "names": (f"t{n}", "y", "x"), "chunk": [1, 64, 64]} for n in range(5)
            }
        ),
        "LimitError",
    ),
    "a shape of 2**63": (hostile.pyramid(shape=(2**63, 2**63), levels=1), "MetadataError"),
    "a shape of 400 digits": (with_finest((10**400, 10**400), TINY), "MetadataError"),
    "cells of 1e-300": (hostile.pyramid(transform=TINY), "MetadataError"),
    "cells that coordinates do not tell apart": (
        hostile.pyramid(transform=(1e-11, 0, hostile.LEFT, 0, -1e-11, hostile.TOP)),
        "MetadataError",
    ),
    "cells of no size": (hostile.pyramid(transform=(0, 0, 0, 0, 0, 0)), "MetadataError"),
    "cells of 1e308": (hostile.pyramid(transform=(1e308, 0, 0, 0, -1e308, 0)), "MetadataError"),
    "a corner at 1e308": (hostile.pyramid(transform=(1, 0, 1e308, 0, -1, -1e308)), "MetadataError"),
    "a corner at 1e300, cells of 1e-17": (
        with_finest((2**62, 2**62), (1e-17, 0, 1e300, 0, -1e-17, 0)),
        "MetadataError",
    ),
    "a corner at NaN": (hostile.pyramid(transform=(1, 0, float("nan"), 0, -1, 0)), "MetadataError"),
    "a corner at infinity": (hostile.pyramid(transform=(1, 0, float("inf"), 0, -1, 0)), "MetadataError"),
    "a transform of one dimension": (hostile.pyramid(transform=(1, 1, 0, 1, 1, 0)), "MetadataError"),
    "tiles of 1e308 cells": (one_level(multiscales=own_set(10**308)), "MetadataError"),
    "a set of 2**62 tiles of 2**62 cells": (one_level(multiscales=own_set(2**62, tiles=2**62)), "MetadataError"),
}


@pytest.mark.parametrize("case", ABSURD)
def test_t6_absurd_geometry_is_refused(case: str, caplog: pytest.LogCaptureFixture) -> None:
    document, kind = ABSURD[case]
    require_refused(hostile.store(document), kind, caplog)


def test_t6_large_geometry_is_arithmetic() -> None:
    """A pyramid of 2**50 x 2**50 cells is served, but for tiles that would need too many of its chunks."""
    side = 2**50
    transform = (1.0, 0.0, -(2.0**49), 0.0, -1.0, 2.0**49)
    arrays = {"v": {"leading": [2**62], "names": ("t", "y", "x"), "chunk": (1, 64, 64)}}
    document = hostile.pyramid(shape=(side, side), levels=1, transform=transform, arrays=arrays)
    with hostile.growing() as growth, hostile.serving(large=hostile.store(document)) as client:
        for path in ("info", "dimensions", "WMTSCapabilities.xml", "legend.json", "point/-105,40", "tiles"):
            begun = time.monotonic()
            # It goes around the world some million times, of which no set can tell where.
            status = 404 if path == "WMTSCapabilities.xml" else 200
            assert client.get(f"/large/{path}").status_code == status
            assert time.monotonic() - begun < SECONDS
        assert (
            client.get("/large/tiles/WebMercatorQuad/19/109226/198560.npy?sel=t=4611686018427387903").status_code == 200
        )
        assert (
            client.get("/large/tiles/WebMercatorQuad/19/109226/198560.npy?sel=t=4611686018427387904").status_code == 400
        )
        for path in ("tiles/WebMercatorQuad/0/0/0.png", "preview.png", "statistics"):
            damaged_after(client, f"/large/{path}")
    assert growth.peak < GROWTH


@pytest.mark.parametrize("tile", [1025, 20_000, 2**31])
def test_t6_tiles_of_a_set_of_the_store_are_no_larger_than_any(tile: int, caplog: pytest.LogCaptureFixture) -> None:
    document = hostile.pyramid(shape=(tile, tile), levels=1, multiscales=own_set(tile))
    paths = ("tiles/own/0/0/0.png", "tiles/own/0/0/0.npy?tilesize=64", "tiles/own/10/0/0.npy")
    require_refused(hostile.store(document), "LimitError", caplog, *paths)


def test_t6_a_set_of_the_store_may_have_tiles_as_large_as_any() -> None:
    document = hostile.pyramid(shape=(1024, 1024), levels=1, multiscales=own_set(1024))
    with hostile.serving(good=hostile.store(document)) as client:
        assert client.get("/good/tiles/own/10/0/0.npy").status_code == 200


# Codecs are what T7 is about.

FOREIGN = [
    {"name": "pickle"},
    {"name": "numcodecs.pickle", "configuration": {"protocol": 5}},
    {"name": "numcodecs.json2"},
    {"name": "numcodecs.zstd"},
    {"name": "vlen-utf8"},
    {"name": "msgpack2"},
    {"name": "python", "configuration": {"function": "os.system"}},
    {"name": "os.system"},
    {"name": "antigravity"},
    {"name": "../../codec"},
    {"name": "transpose", "configuration": {"order": [1, 0]}},
    {"name": "https://codecs.example/zstd"},
    {"name": "\ud800"},
    {"name": "ZSTD"},
]
FORMS = {
    "first": lambda codec: {"codecs": [codec]},
    "after the bytes": lambda codec: {"codecs": [*hostile.RAW, codec]},
    "in a shard": lambda codec: {"codecs": hostile.sharded(chunk=(64, 64), codecs=[*hostile.RAW, codec])},
    "over a shard": lambda codec: {"codecs": [*hostile.sharded(chunk=(64, 64)), codec]},
    "over an index": lambda codec: {"codecs": hostile.sharded(chunk=(64, 64), index_codecs=[*hostile.RAW, codec])},
}


@pytest.mark.parametrize("form", FORMS)
def test_t7_codecs_that_are_not_on_the_list_are_refused(
    form: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numcodecs_registry, "get_codec", lambda *_, **__: pytest.fail("a codec was looked up"))
    monkeypatch.setattr("importlib.metadata.entry_points", lambda *_, **__: pytest.fail("plug-ins were looked up"))
    before = set(sys.modules)
    places = {
        f"d{number}": hostile.store(one_level(arrays={"v": FORMS[form](codec)})) for number, codec in enumerate(FOREIGN)
    }
    with hostile.serving(**places) as client:
        for name in places:
            caplog.clear()
            damaged_after(client, f"/{name}/{TILE}")
            assert ": UnsupportedError: codec" in caplog.text or ": UnsupportedError: index codecs" in caplog.text
    assert not {"antigravity", "pickle", "python"} & (set(sys.modules) - before)


def replaced(key: str, value: Any) -> dict[str, Any]:
    """A pyramid whose array says something else under one key."""
    document = one_level()
    nodes_of(document)["0/v"][key] = value
    return document


ODD = {
    "a chain of 100": (replaced("codecs", [*hostile.RAW, *packed(["gzip"] * 99)[1:]]), "LimitError"),
    "a chain of 9": (replaced("codecs", packed(["gzip"] * 8)), "LimitError"),
    "no chain": (replaced("codecs", []), "MetadataError"),
    "an object for a chain": (replaced("codecs", {"name": "bytes"}), "MetadataError"),
    "a codec without a name": (replaced("codecs", [{}]), "MetadataError"),
    "a codec that is a number": (replaced("codecs", [1]), "MetadataError"),
    "a name that is a list": (replaced("codecs", [{"name": ["bytes"]}]), "MetadataError"),
    "objects": (replaced("data_type", "object"), "MetadataError"),
    "strings": (replaced("data_type", "string"), "MetadataError"),
    "Python's types": (replaced("data_type", "|O"), "MetadataError"),
    "a structure": (replaced("data_type", {"name": "structured", "configuration": {}}), "MetadataError"),
    "another grid": (replaced("chunk_grid", {"name": "rectilinear", "configuration": {}}), "UnsupportedError"),
    "storage transformers": (replaced("storage_transformers", [{"name": "python"}]), "UnsupportedError"),
    "other keys": (replaced("chunk_key_encoding", {"name": "https"}), "UnsupportedError"),
    "a separator": (
        replaced("chunk_key_encoding", {"name": "default", "configuration": {"separator": "/../"}}),
        "MetadataError",
    ),
}


@pytest.mark.parametrize("case", ODD)
def test_t7_other_data_types_chains_grids_and_keys_are_refused(case: str, caplog: pytest.LogCaptureFixture) -> None:
    document, kind = ODD[case]
    require_refused(hostile.store(document), kind, caplog)


def test_t7_each_codec_of_the_list_is_undone_by_a_function_of_its_own() -> None:
    assert sorted(codecs._UNPACK) == ["blosc", "crc32c", "gzip", "zstd"]
    assert {function.__module__ for function in codecs._UNPACK.values()} == {"geozarr.codecs"}


# Names are what T8 is about.

OUTSIDE = ("..", ".", "", "a/..", "../..", "/etc", "a\\b", "..\\..", "a\0b", "a\nb", "\x7f", "\ud800", "C:", "x" * 300)


def renamed(node: str, name: str) -> dict[str, Any]:
    """A pyramid in which a node of the consolidated metadata has another name."""
    document = one_level()
    nodes = nodes_of(document)
    folder = node.rpartition("/")[0]
    nodes[f"{folder}/{name}" if folder else name] = nodes.pop(node)
    return document


@pytest.mark.parametrize("name", OUTSIDE)
def test_t8_names_in_documents_lead_nowhere(name: str) -> None:
    beside = {name: hostile.group(), f"{name}/v": hostile.array((64, 64))}
    level = one_level(multiscales={"layout": [{**item_of(one_level()), "asset": name}]}, beside=beside)
    variable = renamed("0/v", name)
    alpha = one_level(arrays={"v": {"attributes": {"ancillary_variables": f"alpha {name}"}}})
    steps = one_level(arrays={"v": {"leading": [4], "names": (name, "y", "x"), "chunk": [1, 64, 64]}})
    nodes_of(steps)[f"0/{name}"] = hostile.array((4,), names=(name,), chunk=(4,))
    places = {
        key: hostile.store(document)
        for key, document in (("level", level), ("variable", variable), ("alpha", alpha), ("steps", steps))
    }
    with hostile.serving(**places) as client:
        for key, place in places.items():
            for path in ("info", TILE, "dimensions", "WMTSCapabilities.xml", f"{TILE}?sel=t=1", "zarr/zarr.json"):
                assert client.get(f"/{key}/{path}").status_code in (200, 400, 502)
            odd = [asked for asked in place.asked if not is_within(asked)]
            assert odd == []


def item_of(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["attributes"]["multiscales"]["layout"][0]
    return found


def is_within(key: str) -> bool:
    parts = key.split("/")
    return key.isprintable() and "\\" not in key and not {"", ".", ".."} & set(parts)


def test_t8_a_link_out_of_the_folder_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    secret, folder = tmp_path / "secret", tmp_path / "data"
    place = hostile.store(one_level(), **{"0/v/c/0/0": bytes(CHUNK)})
    for key, data in place.objects.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(data)
    chunk, inner = folder / "0/v/c/0/0", folder / "0/v/c/0/inner"
    secret.write_bytes(b"s" * CHUNK)
    inner.write_bytes(b"i" * CHUNK)
    for target, status in ((inner, 200), (secret, 502), (tmp_path / "data2", 502)):
        chunk.unlink()
        chunk.symlink_to(target)
        with hostile.serving(linked=folder) as client:
            response = client.get(f"/linked/{TILE}")
            assert response.status_code == status
            assert (b"i" * 20 in response.content) == (status == 200)
            assert client.get("/linked/zarr/0/v/c/0/0").status_code in (status, 404)
    assert "StoreError" in caplog.text
    (folder / "zarr.json").rename(tmp_path / "zarr.json")
    (folder / "zarr.json").symlink_to(tmp_path / "zarr.json")
    with hostile.serving(linked=folder) as client:
        damaged_after(client, "/linked/info")
    (tmp_path / "link").symlink_to(folder)  # but the folder itself may be reached by one
    (folder / "zarr.json").unlink()
    (tmp_path / "zarr.json").rename(folder / "zarr.json")
    with hostile.serving(linked=tmp_path / "link") as client:
        assert client.get("/linked/info").status_code == 200


# Texts are what T18 is about.

SCRIPT = "<script>alert(1)</script>"
NASTY = f"{SCRIPT}'\"&]]><!--\r\nSet-Cookie: a=b\r\n\r\n\x1b[31m\x00\x85\u2028\u202e\ud800"


def with_texts() -> dict[str, Any]:
    """A pyramid that says something nasty wherever a text may stand."""
    texts = dict.fromkeys(("long_name", "units", "standard_name", "color_interpretation", "title", "calendar"), NASTY)
    name = f"{SCRIPT.replace('/', '')}'\"&]]>"
    arrays = {
        name: {"leading": [2], "names": ("t", "y", "x"), "chunk": [1, 64, 64], "attributes": texts},
        "v": {"attributes": texts | {"band_names": [NASTY]}},
        "w": {
            "leading": [2],
            "names": (NASTY.replace("/", ""), "y", "x"),
            "chunk": [1, 64, 64],
            "attributes": texts | {"band_names": [NASTY, NASTY]},
        },
    }
    steps = hostile.array((2,), names=("t",), chunk=(2,), dtype="float64", attributes=texts)
    wkt = UTM.replace("WGS 84 / UTM zone 13N", f"{SCRIPT}'&]]>")
    own = own_set(64)
    own["tileMatrixSet"] |= {"title": NASTY, "uri": NASTY, "id": name, "description": NASTY}
    return one_level(
        arrays=arrays,
        beside={"0/t": steps},
        attributes={"title": NASTY, "description": NASTY, "Conventions": NASTY, "history": NASTY},
        multiscales=own,
        crs={"proj:wkt2": wkt},
    )


def test_t18_texts_of_a_store_are_escaped_wherever_they_are_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    place = hostile.store(with_texts(), **{"0/t/c/0": np.array([0.0, 1.0]).tobytes()})
    seen = set()
    with hostile.serving(nasty=place) as client:
        paths = [hostile.address(path, "nasty") for path in hostile.documented(client)]
        queries = ("", "?variable=v", "?variable=w", "?f=html")
        for path in [*paths, "/", "/?f=html", f"/nasty/{TILE}", "/nasty/point/-105.6,39.9"]:
            for query in queries:
                response = client.get(path + query if "?" not in path else path)
                assert response.status_code in (200, 400, 404), (path, response.text)
                for header in (*response.headers.keys(), *response.headers.values()):
                    assert header.isprintable()
                    assert "alert" not in header
                    assert "Cookie" not in header
                require_escaped(response.headers["content-type"], response.content)
                seen.add(response.headers["content-type"].partition(";")[0])
    assert {"application/json", "application/geo+json", "application/xml", "text/html", "image/png"} <= seen
    for record in (record for record in caplog.records if record.name.startswith("tiler")):
        line = logging.Formatter().format(record)
        assert line.isprintable(), line


def require_escaped(media_type: str, body: bytes) -> None:
    if media_type.startswith("text/html"):
        assert b"<script>alert" not in body
        assert b"\x1b" not in body
    elif media_type == "application/xml":
        root = ET.fromstring(body)
        assert not [element for element in root.iter() if element.tag.endswith("script")]
    elif media_type.endswith("json"):
        json.loads(body)


def test_t18_an_error_about_a_nasty_text_stays_on_its_line(caplog: pytest.LogCaptureFixture) -> None:
    for document in (
        hostile.pyramid(crs={"proj:wkt2": NASTY}),
        hostile.pyramid(crs={"proj:code": NASTY}),
        renamed("0/v", NASTY.replace("/", "")),
        replaced("dimension_names", [NASTY, "x"]),
        replaced("codecs", [{"name": NASTY}]),
        hostile.pyramid(multiscales={"layout": [{"asset": NASTY}]}),
    ):
        with hostile.serving(nasty=hostile.store(document)) as client:
            damaged_after(client, "/nasty/info")
            assert "script" not in client.get("/?f=html").text
    assert len(caplog.records) >= 12
    for record in caplog.records:
        assert logging.Formatter().format(record).isprintable()


# CRS are what T22 is about.

DEEP = "PROJCRS[" * 8000
GRIDS = "+proj=longlat +ellps=bessel +nadgrids=/etc/passwd +type=crs"
FILE = 'PARAMETERFILE["Latitude and longitude difference file","/etc/passwd"]'
SYSTEMS = {
    "a PROJ string": {"proj:wkt2": "+proj=merc"},
    "a PROJ string with a file": {"proj:wkt2": GRIDS},
    "a PROJ string as a code": {"proj:code": GRIDS},
    "init": {"proj:code": "+init=epsg:4326"},
    "an init file": {"proj:code": "init:/etc/passwd"},
    "a pipeline": {"proj:wkt2": "+proj=pipeline +step +proj=hgridshift +grids=/etc/passwd"},
    "a file": {"proj:wkt2": "/etc/passwd"},
    "a file as a code": {"proj:code": "../../etc/passwd"},
    "a URL": {"proj:wkt2": "http://127.0.0.1:9/crs"},
    "a URL as a code": {"proj:code": "http://127.0.0.1:9/crs"},
    "a URN": {"proj:code": "urn:ogc:def:crs:EPSG::32613"},
    "a URL of a tile matrix set": None,
    "parameters as PROJJSON": {"proj:projjson": {"proj": "longlat", "nadgrids": "/etc/passwd"}},
    "init as PROJJSON": {"proj:projjson": {"init": "/etc/passwd"}},
    "a method that is a PROJ string": {
        "proj:wkt2": UTM.replace("Transverse Mercator", "PROJ +proj=tmerc +grids=/etc/passwd")
    },
    "WKT of a megabyte": {"proj:wkt2": UTM[:-1] + ',REMARK["' + "x" * 2**20 + '"]]'},
    "WKT of one character too many": {"proj:wkt2": UTM + " " * (2**16 + 1 - len(UTM))},
    "WKT that is deep": {"proj:wkt2": DEEP},
    "WKT that does not end": {"proj:wkt2": UTM[:-1]},
    "a code that is none": {"proj:code": "EPSG:999999"},
    "a code that is long": {"proj:code": "EPSG:" + "9" * 100_000},
    "a height": {"proj:code": "EPSG:5773"},
    "a number": {"proj:wkt2": 32613},
}


@pytest.mark.parametrize("case", SYSTEMS)
def test_t22_a_crs_is_a_code_or_wkt_or_projjson_and_nothing_else(
    case: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("somebody was called"))
    own = own_set(64)
    own["tileMatrixSet"]["crs"] = "http://127.0.0.1:9/def/crs/EPSG/0/32613"
    document = one_level(multiscales=own) if SYSTEMS[case] is None else one_level(crs=SYSTEMS[case])
    require_refused(hostile.store(document), "MetadataError", caplog)


def test_t22_a_grid_file_around_a_crs_is_left_out() -> None:
    """A bound CRS is read without what it is bound by: the file that names is never looked for."""
    target = pyproj.CRS("EPSG:4326").to_wkt()
    method = f'ABRIDGEDTRANSFORMATION["x",METHOD["NTv2",ID["EPSG",9615]],{FILE}]'
    bound = f"BOUNDCRS[SOURCECRS[{UTM}],TARGETCRS[{target}],{method}]"
    with hostile.serving(bound=hostile.store(one_level(crs={"proj:wkt2": bound}))) as client:
        info = client.get("/bound/info")
        assert info.status_code == 200
        assert "passwd" not in info.text
        assert client.get(f"/bound/{TILE}").status_code == 200


def test_t22_a_crs_that_gdal_does_not_read_is_no_bug(caplog: pytest.LogCaptureFixture) -> None:
    usage = ',USAGE[SCOPE["x"],AREA["y"],BBOX[0,0,1,1]]'
    wkt = UTM[:-1] + usage * ((2**16 - len(UTM)) // len(usage)) + "]"
    with hostile.serving(odd=hostile.store(one_level(crs={"proj:wkt2": wkt}))) as client:
        for path in ("info", f"{TILE}?resampling=average&reproject=average", "preview.tif"):
            begun = time.monotonic()
            assert client.get(f"/odd/{path}").status_code in (200, 502)
            assert time.monotonic() - begun < SECONDS
    assert "a bug" not in caplog.text


# All of it at random.


VALUES = [
    *(None, True, 0, -1, 1, 2**31, 2**53, 2**62, 2**63, 10**30, 10**400, 0.5, 1e308, -1e308, 1e-320),
    *(float("nan"), float("inf"), "", "x", "\ud800", "a\0b", "../..", "9" * 5000, NASTY),
    *([], {}, [0], [None], [[]], {"a": 1}, [1e308] * 6, [0] * 6, [1, 2]),
]


def places_in(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """List where values stand in a document."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places_in(value, (*path, key))


def changed(document: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    made = copy.deepcopy(document)
    place: Any = made
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return made


def require_no_bug(places: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Ask for everything of each of some stores."""
    with hostile.serving(**places) as client:
        paths = [path for path in hostile.documented(client) if "{dataset}" in path]
        paths = [path for path in paths if "/part/" not in path and "preview." not in path]  # the same as others
        for name in places:
            for path in [*paths, f"/{{dataset}}/{TILE}", "/{dataset}/tiles/WebMercatorQuad/9/107/195.png"]:
                begun = time.monotonic()
                response = client.get(hostile.address(path, name))
                assert response.status_code in (200, 400, 404, 502), (name, path, response.text)
                assert time.monotonic() - begun < SECONDS, (name, path)
        for path in ("/", "/collections", "/tileMatrixSets"):
            assert client.get(path).status_code == 200
    assert "a bug" not in caplog.text


@pytest.mark.parametrize("name", ["series", "colour"])
def test_any_change_of_a_document_is_no_bug(
    stores: dict[str, Any], name: str, caplog: pytest.LogCaptureFixture
) -> None:
    place = hostile.loaded(stores[name].path)
    document = json.loads(place.objects["zarr.json"])
    chance, places = random.Random(1), list(places_in(document))
    made = {}
    for number in range(40):
        path, value = chance.choice(places), chance.choice([*VALUES, ...])
        data = encoded(changed(document, path, value))
        made[f"d{number}"] = hostile.Objects({**place.objects, "zarr.json": data})
    require_no_bug(made, caplog)


def test_any_geometry_is_no_bug(caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(2)
    sizes = [1e-320, 1e-17, 1e-9, 1e-3, 0.5, 1.0, 300.0, 1e5, 1e9, 1e14, 1e30, 1e200, 1e308]
    sides = [1, 2, 63, 64, 1000, 2**31, 2**53, 2**62]
    codes = [
        hostile.CRS,
        "EPSG:4326",
        "EPSG:3857",
        "EPSG:3413",
        "EPSG:2193",
        "ESRI:54030",
        "IAU_2015:30100",
        "OGC:CRS84",
    ]
    made = {}
    for number in range(60):
        cell, corner = chance.choice(sizes), chance.choice([0.0, 180.0, hostile.LEFT, *sizes])
        turn = chance.choice([0.0, 0.0, 0.0, cell, -cell / 2])
        transform = (
            chance.choice([cell, -cell]),
            turn,
            chance.choice([corner, -corner]),
            chance.choice([turn, 0.0, -turn]),
            chance.choice([-cell, cell, -2 * cell]),
            chance.choice([corner, -corner, hostile.TOP, 90.0]),
        )
        document = hostile.pyramid(
            shape=(chance.choice(sides), chance.choice(sides)),
            transform=transform,
            levels=chance.choice([1, 2, 7, 40]),
            crs={"proj:code": chance.choice(codes)},
        )
        made[f"d{number}"] = hostile.store(document)
    require_no_bug(made, caplog)


def test_another_body_than_the_earth_is_told_as_far_as_it_can_be() -> None:
    """The Moon has a place in no document of the Earth's, and is served in none of its sets."""
    document = hostile.pyramid(
        shape=(180, 360), transform=(1, 0, -180, 0, -1, 90), crs={"proj:code": "IAU_2015:30100"}, levels=2
    )
    with hostile.serving(moon=hostile.store(document)) as client:
        assert client.get("/moon/info").json()["bounds"] == [-180, -90, 180, 90]
        assert client.get("/moon/preview.png").status_code == 200
        assert client.get("/moon/WMTSCapabilities.xml").status_code == 404
        assert client.get("/moon/tiles/WebMercatorQuad/0/0/0.png").status_code == 404
        assert client.get("/moon/preview.png?dst_crs=EPSG:3857").status_code == 400
        assert client.get("/moon/bbox/0,0,10,10.png").status_code == 400
