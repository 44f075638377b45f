"""Settings of the service: one frozen object, checked at construction. `tiler.config` says where they come from."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from geozarr.errors import ParameterError
from tiler.admission import Bounds

if TYPE_CHECKING:
    from geozarr.store import StoreLike

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HOST = re.compile(r"[0-9A-Za-z_.:%-]{1,255}")
MAX_TITLE = 200  # characters

# First parts of the service's own addresses: a dataset of that name could not be reached.
RESERVED = frozenset(
    (
        *("_static", "algorithms", "api", "collections", "colorMaps", "conformance", "docs", "favicon.ico", "healthz"),
        *("md", "metrics", "openapi.json", "readyz", "robots.txt", "tileMatrixSets"),
    )
)

NOTHING, DOCUMENTS, ALL = "off", "documents", "all"
AUTO, TEXT, JSON = "auto", "text", "json"
CHOICES = {"access_log": (NOTHING, DOCUMENTS, ALL), "log_format": (AUTO, TEXT, JSON)}
_MANY = 2**53  # whole numbers up to here are whole in every language that reads them
# Whole numbers: their least and greatest values.
WHOLE = {
    "port": (0, 65535),
    "workers": (1, 64),
    "chunk_cache_bytes": (0, _MANY),
    "tile_cache_bytes": (0, _MANY),
    "open_datasets": (1, 10_000),
    "max_side": (1, 16_384),
    "max_body": (1, 2**30),
    "max_target": (256, 2**16),
    "max_head": (1024, 2**20),
    "chunks_per_read": (1, _MANY),
    "decoded_bytes_per_read": (1, _MANY),
    "renders_running": (1, 1024),
    "renders_waiting": (1, _MANY),
    "renders_of_client": (1, _MANY),
    "deadline": (1, 3600),
    "head_seconds": (1, 3600),
    "keep_alive": (1, 3600),
    "shutdown": (0, 3600),
    "refresh": (1, 86_400),
    "max_age": (0, _MANY),
    "document_bytes": (1024, 64 * 2**20),
    "document_depth": (8, 256),
    "document_nodes": (1, 100_000),
}
EXPORTED = ("png", "webp", "jpg")  # formats of tiles that are written to files
BOOLEAN = frozenset(("expose_zarr", "expressions", "metrics"))


@dataclass(frozen=True)
class Dataset:
    """A pyramid that is served.

    Parameters
    ----------
    name : str
        First part of its addresses: letters, digits, `_`, `.`, `-`, at most 64; none of `RESERVED`.
    location : str, Path or obstore store
        Where it is; never shown to clients.
    title : str
        What people call it; empty: as its name.

    Raises
    ------
    ParameterError
        If the name or the title is another.
    """

    name: str
    location: StoreLike
    title: str = ""

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ParameterError("dataset name", found=self.name, expected="1 to 64 of A-Z, a-z, 0-9, '_', '.', '-'")
        if self.name in RESERVED:
            expected = "another name: this one stands in addresses of the service itself"
            raise ParameterError("dataset name", found=self.name, expected=expected)
        if not isinstance(self.title, str) or len(self.title) > MAX_TITLE or not self.title.isprintable():
            raise ParameterError("dataset title", found=self.title, expected=f"one line of at most {MAX_TITLE} letters")


@dataclass(frozen=True)
class Settings:
    """What the service is told.

    Parameters
    ----------
    datasets : tuple of Dataset
        At least one, each name once.
    base_url : str
        Start of the links in documents, without the last slash, such as `https://tiles.example.org/maps`. Empty:
        links start at the root of whatever host is asked.
    host, port : str, int
        Address to listen on; port 0 takes a free one.
    workers : int
        Processes that answer.
    chunk_cache_bytes, tile_cache_bytes : int
        Bounds of the cache of decoded chunks and of the cache of encoded tiles, in each process; 0 keeps nothing.
    open_datasets : int
        Datasets that are kept open; others are opened again when they are asked for.
    max_side : int
        Pixels of the largest side of any picture.
    max_body : int
        Bytes of the body of a POST.
    max_target, max_head : int
        Bytes of the address of a request, and of all of its head.
    chunks_per_read, decoded_bytes_per_read : int
        What one tile or point may cost.
    renders_running, renders_waiting, renders_of_client : int
        How many renders may run for a dataset, wait in all, and be under way for one client.
    deadline : int
        Seconds that a render may take, waiting included.
    head_seconds, keep_alive : int
        Seconds for which the head of a request, and the next request on an open connection, are awaited.
    shutdown : int
        Seconds that requests under way may take once the service is told to stop.
    refresh : int
        Seconds between two looks at a dataset's root document, which show that it has been rebuilt.
    max_age : int
        Seconds for which a tile or document may be kept by clients without asking again.
    document_bytes, document_depth, document_nodes : int
        Bytes of a document of a store, how deep arrays and objects are nested in it, and how many groups and arrays
        there are.
    expose_zarr : bool
        Let clients read the documents and chunks of the stores themselves, under `/{dataset}/zarr/`.
    expressions : bool
        Compute bands by formulas that clients send.
    metrics : bool
        Answer `/metrics` for Prometheus.
    access_log : str
        Which requests are logged: "off", "documents" (all but tiles, files of the page and probes) or "all".
    log_format : str
        "text", "json", or "auto": text where standard error is a terminal, else JSON.

    Raises
    ------
    ParameterError
        If a value is out of its range.
    """

    datasets: tuple[Dataset, ...]
    base_url: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    workers: int = 1
    chunk_cache_bytes: int = 256 * 2**20
    tile_cache_bytes: int = 256 * 2**20
    open_datasets: int = 64
    max_side: int = 1024
    max_body: int = 2**20
    max_target: int = 4096
    max_head: int = 16 * 2**10
    chunks_per_read: int = 64
    decoded_bytes_per_read: int = 256 * 2**20
    renders_running: int = Bounds.running
    renders_waiting: int = Bounds.waiting
    renders_of_client: int = Bounds.client
    deadline: int = int(Bounds.seconds)
    head_seconds: int = 10
    keep_alive: int = 15
    shutdown: int = 10
    refresh: int = 10
    max_age: int = 3600
    document_bytes: int = 4 * 2**20
    document_depth: int = 64
    document_nodes: int = 2000
    expose_zarr: bool = False
    expressions: bool = False
    metrics: bool = False
    access_log: str = DOCUMENTS
    log_format: str = AUTO

    def __post_init__(self) -> None:
        names = [dataset.name for dataset in self.datasets]
        if not names or len(set(names)) != len(names):
            raise ParameterError("datasets", found=names, expected="at least one, each name once")
        for name in NAMES:
            check(name, getattr(self, name))

    @property
    def admission(self) -> Bounds:
        """How much work may run and wait."""
        return Bounds(self.renders_running, self.renders_waiting, self.renders_of_client, float(self.deadline))


# All settings but the datasets.
NAMES = tuple(item.name for item in fields(Settings) if item.name != "datasets")


def check(name: str, value: Any, where: str = "") -> None:
    """Check the value of one of `NAMES`.

    Parameters
    ----------
    name : str
        The setting.
    value : object
        Its value.
    where : str
        How whoever gave it has named it, for the message; by default the setting's name.

    Raises
    ------
    ParameterError
        If it has another type, or is out of its range.
    """
    expected = _unmet(name, value)
    if expected is not None:
        raise ParameterError(where or name, found=value, expected=expected)


def _unmet(name: str, value: Any) -> str | None:
    """Say what is expected of a value where it is not met."""
    if name in WHOLE:
        least, most = WHOLE[name]
        is_met = type(value) is int and least <= value <= most
        return None if is_met else f"a whole number from {least} to {most}"
    if name in BOOLEAN:
        return None if isinstance(value, bool) else "true or false"
    if name in CHOICES:
        return None if value in CHOICES[name] else f"one of {', '.join(CHOICES[name])}"
    if name == "host":
        is_met = isinstance(value, str) and _HOST.fullmatch(value) is not None
        return None if is_met else "an address or name of this machine"
    is_met = isinstance(value, str) and (not value or _is_address(value))
    return None if is_met else "http(s)://host[/path], no user, no slash at its end"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    is_plain = parts.scheme in ("http", "https") and parts.netloc and not (parts.query or parts.fragment)
    return bool(is_plain) and "@" not in parts.netloc and not url.endswith("/") and url.isprintable()
