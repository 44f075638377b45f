"""Which Zarr conventions a node uses: the `zarr_conventions` attribute (zarr-conventions-spec v1).

The writer writes the five keys of revision v0.1 and nothing else. The reader identifies a convention by `uuid`, else
`schema_url`, else `spec_url`, and never by `name` (SPEC ZC-05, ZC-06); it knows the drafts' URLs too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from geozarr.errors import MetadataError

KEY = "zarr_conventions"


@dataclass(frozen=True)
class Convention:
    """One convention at revision v0.1, and the URLs it had before.

    Parameters
    ----------
    name, uuid, schema_url, spec_url, description : str
        The registration, written verbatim.
    repositories : tuple of str
        `owner/name` of every repository whose URLs stand for it.
    """

    name: str
    uuid: str
    schema_url: str
    spec_url: str
    description: str
    repositories: tuple[str, ...]

    def to_document(self) -> dict[str, str]:
        """Return the convention metadata object."""
        return {
            "schema_url": self.schema_url,
            "spec_url": self.spec_url,
            "uuid": self.uuid,
            "name": self.name,
            "description": self.description,
        }

    def owns_url(self, url: str) -> bool:
        """Tell whether a URL is one of this convention's, at any revision."""
        return url.startswith(self._beginnings)

    @cached_property
    def _beginnings(self) -> tuple[str, ...]:
        hosts = ("https://raw.githubusercontent.com/", "https://github.com/")
        return tuple(f"{host}{name}/" for host in hosts for name in self.repositories)


def _convention(name: str, uuid: str, description: str, *former: str) -> Convention:
    repository = f"zarr-conventions/{name}"
    return Convention(
        name=name,
        uuid=uuid,
        schema_url=f"https://raw.githubusercontent.com/{repository}/refs/tags/v0.1/schema.json",
        spec_url=f"https://github.com/{repository}/blob/v0.1/README.md",
        description=description,
        repositories=(repository, *former),
    )


MULTISCALES = _convention("multiscales", "d35379db-88df-4056-af3a-620245f8e347", "Multiscale layout of zarr datasets")
PROJ = _convention(
    "proj",
    "f17cb550-5864-4468-aeb7-f3180cfb622f",
    "Coordinate reference system information for geospatial data",
    "zarr-conventions/geo-proj",
    "zarr-experimental/geo-proj",
)
SPATIAL = _convention("spatial", "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4", "Spatial coordinate information")
KNOWN = (MULTISCALES, PROJ, SPATIAL)


def to_attributes(*conventions: Convention) -> dict[str, Any]:
    """Return the attribute that registers conventions at a node."""
    return {KEY: [convention.to_document() for convention in conventions]}


def identify(document: Any) -> Convention | None:
    """Find the convention that a convention metadata object means; None where it is another's."""
    if not isinstance(document, dict):
        return None
    uuid = document.get("uuid")
    if uuid is not None:
        return next((known for known in KNOWN if known.uuid == uuid), None)
    for key in ("schema_url", "spec_url"):
        url = document.get(key)
        if isinstance(url, str):
            return next((known for known in KNOWN if known.owns_url(url)), None)
    return None


def from_attributes(attributes: dict[str, Any], *, node: str) -> tuple[Convention, ...]:
    """Read which known conventions a node registers; unknown ones are passed over.

    Raises
    ------
    MetadataError
        If `zarr_conventions` is not an array of objects.
    """
    documents = attributes.get(KEY, [])
    if not isinstance(documents, list) or not all(isinstance(document, dict) for document in documents):
        raise MetadataError(node, KEY, found=documents, expected="an array of objects")
    found = (identify(document) for document in documents)
    return tuple(dict.fromkeys(convention for convention in found if convention is not None))
