"""What would have to be put right in a source before a pyramid is built from it, as text and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geozarr.errors import GeoZarrError, MetadataError, in_one_line
from pyramids.opening import open_source
from pyramids.sources.quirk import KINDS, Quirk

if TYPE_CHECKING:
    from pathlib import Path

    import xarray as xr

    from pyramids.sources import Source


@dataclass(frozen=True)
class Survey:
    """What was found in a source.

    Parameters
    ----------
    source : str
        Its name.
    quirks : tuple of Quirk
        What would be groomed.
    refused : GeoZarrError or None
        Why no pyramid is built of it.
    """

    source: str
    quirks: tuple[Quirk, ...] = ()
    refused: GeoZarrError | None = None

    @property
    def exit_status(self) -> int:
        """0: nothing is to do. 1: something is. 2: it is refused."""
        return 2 if self.refused is not None else int(bool(self.quirks))

    def to_document(self) -> dict[str, Any]:
        """Return it as JSON."""
        refused = self.refused
        found: dict[str, Any] = {
            "source": self.source,
            "quirks": [{**quirk.to_document(), "why": KINDS[quirk.kind]} for quirk in self.quirks],
            "refused": None,
        }
        if refused is not None:
            found["refused"] = {"error": type(refused).__name__, "message": str(refused)}
        if isinstance(refused, MetadataError):
            found["refused"] |= {"node": refused.node, "key": refused.key, "expected": refused.expected}
        return found

    def __str__(self) -> str:
        if self.refused is not None:
            return f"{self.source}: no pyramid is built of it: {in_one_line(self.refused)}"
        count = len(self.quirks)
        lines = [f"{self.source}: {count or 'nothing'} to groom" + (":" if count else "")]
        for quirk in self.quirks:
            lines += [
                f"  {quirk.kind}  {quirk.where}",
                f"    found {quirk.found}; {quirk.done}",
                f"    why: {KINDS[quirk.kind]}",
            ]
        return "\n".join(lines)


def survey(source: str | Path | xr.DataArray | xr.Dataset | Source, **options: Any) -> Survey:
    """Say what would be groomed of a source; no pixel is read.

    Parameters
    ----------
    source : str, Path, xarray.DataArray, xarray.Dataset or Source
        See `open_source`.
    **options
        As for `open_source`.
    """
    try:
        opened = open_source(source, **options)
    except GeoZarrError as error:
        return Survey(str(source) if not hasattr(source, "dims") else "<memory>", refused=error)
    return Survey(opened.name, opened.quirks)
