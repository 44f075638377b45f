"""Who builds what, and with which settings.

Everybody gets the same number of threads and the best settings that its documentation names. Where a contender lets us
choose, levels, codec, chunk and shard are those of ours (blosc zstd 1 with bit shuffle, 512 px, 2048 px). A name that
ends in "-defaults" is the same program with nothing chosen: for the claim about bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

REPROJECTED = ("elevation", "rgb", "reflectance", "landcover", "islands", "globe")
NATIVE = ("elevation-native",)
EVERY = (*REPROJECTED, *NATIVE)


@dataclass(frozen=True)
class Contender:
    """A program, its settings, and the cases it runs in.

    Parameters
    ----------
    name : str
        In tables.
    script : str
        File in `contenders/`.
    environment : str
        Its environment; see `environments.python_of`.
    cases : tuple of str
        Where it runs.
    note : str
        What a reader of the table should know.
    settings : dict
        Handed to its script.
    rounds : int
        Runs at most: fewer for the very slow, one where only bytes matter.
    form : str
        "folder" or "file": what it writes.
    """

    name: str
    script: str
    environment: str
    cases: tuple[str, ...]
    note: str
    settings: dict[str, Any] = field(default_factory=dict)
    rounds: int = 3
    form: str = "folder"

    @property
    def is_peer(self) -> bool:
        """True for other people's programs."""
        return self.name not in ("ours", "floor")


ROSTER = (
    Contender("ours", "ours.py", "main", EVERY, "`pyramids.build` at its defaults: one thread a core, 1 GiB"),
    Contender(
        "floor", "floor.py", "main", EVERY,
        "decode the source once, encode what ours stores once; no warp, no means, no metadata",
    ),
    Contender(
        "gdal-cog", "gdal_cog.py", "gdal", REPROJECTED,
        "COG driver, TILING_SCHEME=GoogleMapsCompatible, ZSTD level 1 with predictor, all threads",
        {"COMPRESS": "ZSTD", "LEVEL": 1, "PREDICTOR": "YES"}, form="file",
    ),
    Contender(
        "gdal-cog-defaults", "gdal_cog.py", "gdal", REPROJECTED,
        "the same with the driver's own compression (LZW, no predictor), for its bytes", rounds=1, form="file",
    ),
    Contender(
        "terrazarr", "terrazarr_pyramid.py", "terrazarr", NATIVE,
        "one dask process a core, as its documentation advises; blosc zstd 1 bit shuffle, chunks 512, shards 2048; the "
        "start of the processes is not counted",
        {"chunk_size": 512, "shard_size": 2048, "same_codec": True},
    ),
    Contender(
        "terrazarr-defaults", "terrazarr_pyramid.py", "terrazarr", NATIVE,
        "blosc zstd 3 byte shuffle, chunks 256, shards 4096", {}, rounds=1,
    ),
    Contender(
        "topozarr", "topozarr_pyramid.py", "topozarr", NATIVE,
        "with the zarrs codec pipeline; chunks 512, shards 2048; its codec (zstd 0, no shuffle) cannot be chosen",
        {"chunk": 512, "shard": 2048},
    ),
    Contender(
        "topozarr-defaults", "topozarr_pyramid.py", "topozarr", NATIVE,
        "with the zarrs codec pipeline; its own chunks, shards and levels",
    ),
    Contender(
        "eopf-geozarr", "eopf_pyramid.py", "eopf-geozarr", NATIVE,
        "its codec (blosc zstd 3 byte shuffle), chunks 512; holds whole levels in memory", {"spatial_chunk": 512},
        rounds=1,
    ),
    Contender(
        "ndpyramid", "ndpyramid_pyramid.py", "ndpyramid", ("globe",),
        "`pyramid_reproject`, 256 px tiles: always the whole square of the world, each level warped from the source",
        {}, rounds=1,
    ),
)  # fmt: skip
