"""Settings of the service, checked at construction. The one place that reads the environment."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from geozarr.errors import ParameterError
from tiler.admission import Bounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from geozarr.store import StoreLike

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
PREFIX = "GEOZARR_SERVE_"


@dataclass(frozen=True)
class Dataset:
    """A pyramid that is served.

    Parameters
    ----------
    name : str
        First part of its addresses: letters, digits, `_`, `.`, `-`, at most 64.
    location : str, Path or obstore store
        Where it is; never shown to clients.

    Raises
    ------
    ParameterError
        If the name is another.
    """

    name: str
    location: StoreLike

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ParameterError("dataset name", found=self.name, expected="1 to 64 of A-Z, a-z, 0-9, '_', '.', '-'")


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
    chunk_cache_bytes, tile_cache_bytes : int
        Bounds of the cache of decoded chunks and of the cache of encoded tiles; 0 keeps nothing.
    max_side : int
        Pixels of a picture's longer side.
    max_body : int
        Bytes of a request's body, where it has one.
    expressions : bool
        Compute expressions for clients.
    chunks_per_read, decoded_bytes_per_read : int
        What one tile or point may cost.
    renders_running, renders_waiting, renders_of_client : int
        How many renders may run for a dataset, wait in all, and be under way for one client.
    deadline : int
        Seconds that a render may take, waiting included.
    refresh : int
        Seconds between two looks at a dataset's root document, which show that it has been rebuilt.
    max_age : int
        Seconds for which a tile or document may be kept by clients without asking again.
    expose_zarr : bool
        Let clients read the documents and chunks of the stores themselves, under `/{dataset}/zarr/`.

    Raises
    ------
    ParameterError
        If a value is out of its range.
    """

    datasets: tuple[Dataset, ...]
    base_url: str = ""
    chunk_cache_bytes: int = 256 * 2**20
    tile_cache_bytes: int = 256 * 2**20
    max_side: int = 1024
    max_body: int = 2**20
    expressions: bool = False
    chunks_per_read: int = 64
    decoded_bytes_per_read: int = 256 * 2**20
    renders_running: int = Bounds.running
    renders_waiting: int = Bounds.waiting
    renders_of_client: int = Bounds.client
    deadline: int = int(Bounds.seconds)
    refresh: int = 10
    max_age: int = 3600
    expose_zarr: bool = False

    def __post_init__(self) -> None:
        names = [dataset.name for dataset in self.datasets]
        if not names or len(set(names)) != len(names):
            raise ParameterError("datasets", found=names, expected="at least one, each name once")
        parts = urlsplit(self.base_url)
        is_plain = parts.scheme in ("http", "https") and parts.netloc and not (parts.query or parts.fragment)
        if self.base_url and (not is_plain or self.base_url.endswith("/") or not self.base_url.isprintable()):
            raise ParameterError("base_url", found=self.base_url, expected="http(s)://host[/path], no slash at its end")
        for name, least in (
            ("chunk_cache_bytes", 0),
            ("tile_cache_bytes", 0),
            ("max_side", 1),
            ("max_body", 1),
            ("chunks_per_read", 1),
            ("decoded_bytes_per_read", 1),
            ("renders_running", 1),
            ("renders_waiting", 1),
            ("renders_of_client", 1),
            ("deadline", 1),
            ("refresh", 1),
            ("max_age", 0),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ParameterError(name, found=value, expected=f"a whole number of at least {least}")
        for name in ("expressions", "expose_zarr"):
            if not isinstance(getattr(self, name), bool):
                raise ParameterError(name, found=getattr(self, name), expected="True or False")

    @property
    def admission(self) -> Bounds:
        """How much work may run and wait."""
        return Bounds(self.renders_running, self.renders_waiting, self.renders_of_client, float(self.deadline))


def from_environment(datasets: tuple[Dataset, ...], environ: Mapping[str, str] | None = None) -> Settings:
    """Take every setting but the datasets from variables named `GEOZARR_SERVE_` and the setting in capitals.

    Parameters
    ----------
    datasets : tuple of Dataset
        What is served.
    environ : mapping, optional
        The environment; this process's by default.

    Raises
    ------
    ParameterError
        If a variable of that prefix names no setting, or its value is out of range.
    """
    known = {field.name.upper(): field for field in fields(Settings) if field.name != "datasets"}
    values: dict[str, str | int | bool] = {}
    for key, text in (os.environ if environ is None else environ).items():
        if not key.startswith(PREFIX):
            continue
        field = known.get(key.removeprefix(PREFIX))
        if field is None:
            expected = f"one of {', '.join(PREFIX + name for name in known)}"
            raise ParameterError("environment variable", found=key, expected=expected)
        if field.name == "base_url":
            values[field.name] = text
        elif field.name in ("expressions", "expose_zarr"):
            if text not in ("0", "1"):
                raise ParameterError(key, found=text, expected="0 or 1")
            values[field.name] = text == "1"
        elif re.fullmatch(r"[0-9]{1,15}", text):
            values[field.name] = int(text)
        else:
            raise ParameterError(key, found=text, expected="a whole number")
    return Settings(datasets, **values)  # type: ignore[arg-type]  # each value has the type of its field: checked above
