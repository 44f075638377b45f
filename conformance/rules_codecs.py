"""Rules on codec chains and shards (Zarr v3 core, codecs; sharding_indexed)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance import values
from conformance.report import Fault, Rule, Severity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conformance.context import Context
    from conformance.report import Pointer

SHARDING = "sharding_indexed"
_ARRAY_TO_ARRAY = ("transpose", "cast_value", "scale_offset", "numcodecs.delta", "numcodecs.bitround")
_ARRAY_TO_ARRAY_TOO = ("numcodecs.fixedscaleoffset", "numcodecs.quantize", "numcodecs.packbits", "numcodecs.astype")
_ARRAY_TO_BYTES = (
    "bytes",
    SHARDING,
    "vlen-utf8",
    "vlen-bytes",
    "packbits",
    "zfp",
    "numcodecs.zfpy",
    "numcodecs.pcodec",
)
_BYTES_TO_BYTES = ("blosc", "crc32c", "gzip", "zstd")
_STAGES = {
    **dict.fromkeys((*_ARRAY_TO_ARRAY, *_ARRAY_TO_ARRAY_TOO), 0),
    **dict.fromkeys(_ARRAY_TO_BYTES, 1),
    **dict.fromkeys(_BYTES_TO_BYTES, 2),
}
_BLOSC = ("lz4", "lz4hc", "blosclz", "zstd", "snappy", "zlib")
_SHUFFLES = ("noshuffle", "shuffle", "bitshuffle")
# Options without which a chunk cannot be decoded, or which no reader could obey.
_OPTIONS: dict[str, tuple[tuple[str, Callable[[Any], bool], str], ...]] = {
    "blosc": (
        ("cname", lambda value: value in _BLOSC, " ".join(_BLOSC)),
        ("clevel", lambda value: _is_whole(value, 0, 9), "0 to 9"),
        ("shuffle", lambda value: value in _SHUFFLES, " ".join(_SHUFFLES)),
        ("typesize", lambda value: value is None or _is_whole(value, 1, 255), "1 to 255"),
        ("blocksize", lambda value: _is_whole(value, 0, 2**31), "a whole number"),
    ),
    "gzip": (("level", lambda value: _is_whole(value, 0, 9), "0 to 9"),),
    "zstd": (
        ("level", lambda value: _is_whole(value, -131072, 22), "-131072 to 22"),
        ("checksum", lambda value: value is None or isinstance(value, bool), "true or false"),
    ),
}
_MAX_SHARDS = 4  # levels of shards in shards that are looked into


def check_chain(context: Context) -> Iterator[Fault]:
    """Find codec chains out of order, and `bytes` codecs without the byte order they need."""
    for array in context.tree.arrays:
        codecs = context.member(array, "codecs", _list)
        data_type = context.member(array, "data_type", values.dtype)
        is_wide = data_type is not None and data_type.itemsize > 1
        for pointer, chain in _chains(codecs, ("codecs",)):
            yield from _chain(array.path, chain, pointer, is_wide=is_wide or pointer[-1] == "index_codecs")


def check_shards(context: Context) -> Iterator[Fault]:
    """Find shards that their chunks do not divide, and incomplete shard configurations."""
    for array in context.tree.arrays:
        outer = context.member(array, "chunk_grid", values.chunk_shape)
        yield from _shards(array.path, context.member(array, "codecs", _list), ("codecs",), outer)


def inner_chunk(codecs: Any) -> tuple[int, ...] | None:
    """Chunk shape inside the shards of an array; None where it has no shards."""
    for codec in codecs if isinstance(codecs, list) else ():
        found = values.extension(codec)
        if found is not None and found[0] == SHARDING:
            inner = inner_chunk(found[1].get("codecs"))
            return inner or values.wholes(found[1].get("chunk_shape"), least=1)
    return None


def _chains(codecs: Any, pointer: Pointer, depth: int = 0) -> Iterator[tuple[Pointer, list[Any]]]:
    """Yield the chain and those inside its shards."""
    if not isinstance(codecs, list) or depth > _MAX_SHARDS:
        return
    yield pointer, codecs
    for index, codec in enumerate(codecs):
        found = values.extension(codec)
        if found is not None and found[0] == SHARDING:
            for key in ("codecs", "index_codecs"):
                yield from _chains(found[1].get(key), (*pointer, index, "configuration", key), depth + 1)


def _chain(node: str, chain: list[Any], pointer: Pointer, *, is_wide: bool) -> Iterator[Fault]:
    stages: list[int | None] = []
    for index, codec in enumerate(chain):
        found = values.extension(codec)
        if found is None:
            yield Fault(node, (*pointer, index), "a codec has no name", codec, "a name with a configuration")
            return
        name, configuration = found
        stages.append(_STAGES.get(name, 2 if name.startswith("numcodecs.") else None))
        if stages[-1] is None:
            message = "a codec that most readers do not know"
            yield Fault(node, (*pointer, index, "name"), message, name, "a registered codec", severity=Severity.WARNING)
            return
        bad = [(key, expected) for key, good, expected in _OPTIONS.get(name, ()) if not good(configuration.get(key))]
        if bad:
            last = (bad[0][0],) if len(bad) == 1 else ()
            where = (*pointer, index, "configuration", *last)
            stated = configuration.get(bad[0][0]) if last else configuration or None
            message = f"{' and '.join(key for key, _ in bad)} of {name} are malformed"
            yield Fault(node, where, message, stated, "; ".join(expected for _, expected in bad))
        if name == "bytes" and (is_wide or "endian" in configuration):
            endian = configuration.get("endian")
            if endian not in ("little", "big"):
                where = (*pointer, index, "configuration", "endian")
                yield Fault(node, where, "the bytes codec lacks the byte order", endian, '"little" or "big"')
    known = [stage for stage in stages if stage is not None]
    if known != sorted(known) or known.count(1) != 1:
        expected = "array to array codecs, one array to bytes codec, bytes to bytes codecs"
        names = [found[0] for codec in chain if (found := values.extension(codec)) is not None]
        yield Fault(node, pointer, "the codecs are out of order", names, expected)


def _shards(node: str, codecs: Any, pointer: Pointer, outer: tuple[int, ...] | None, depth: int = 0) -> Iterator[Fault]:
    if not isinstance(codecs, list) or depth > _MAX_SHARDS:
        return
    for index, codec in enumerate(codecs):
        found = values.extension(codec)
        if found is None or found[0] != SHARDING:
            continue
        configuration, where = found[1], (*pointer, index, "configuration")
        missing = [key for key in ("chunk_shape", "codecs", "index_codecs") if not configuration.get(key)]
        if missing:
            message = f"the shard has no {' and no '.join(missing)}"
            last = (missing[0],) if len(missing) == 1 else ()
            yield Fault(node, (*where, *last), message, configuration or None, "chunk_shape, codecs and index_codecs")
            continue
        stated = configuration["chunk_shape"]
        inner = values.wholes(stated, least=1)
        if inner is None:
            yield Fault(node, (*where, "chunk_shape"), "the chunks of the shard have no shape", stated, "whole numbers")
        elif outer is not None and (len(outer) != len(inner) or any(o % i for o, i in zip(outer, inner, strict=True))):
            expected = f"a divisor of the shard {list(outer)} on each axis"
            yield Fault(node, (*where, "chunk_shape"), "chunks do not divide the shard", stated, expected)
        for key in ("codecs", "index_codecs"):
            if not isinstance(configuration[key], list):
                yield Fault(node, (*where, key), f"{key} of the shard are no array", configuration[key], "an array")
        if configuration.get("index_location", "end") not in ("start", "end"):
            location = configuration["index_location"]
            yield Fault(node, (*where, "index_location"), "unknown place of the index", location, '"start" or "end"')
        yield from _shards(node, configuration.get("codecs"), (*where, "codecs"), inner, depth + 1)


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _list(value: Any) -> list[Any] | None:
    return value if isinstance(value, list) and value else None


RULES = (
    Rule("ZARR-09", "sharding_indexed", "Chunks divide their shard, and the shard says how it is coded", check_shards),
    Rule("ZARR-10", "Zarr v3 core, codecs", "Codecs stand in order, and bytes state their order", check_chain),
)
