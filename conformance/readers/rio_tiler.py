"""rio-tiler's reader of Zarr groups (RD-05): layout in order, uuids of all entries, keys of the multiscale group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance import values
from conformance.readers import needs
from conformance.readers import subject as subjects
from conformance.readers.verdict import Condition, Loss, Reader
from conformance.readers.xarrays import ZARR_PYTHON
from conformance.report import Fault
from geozarr.conventions import spatial
from geozarr.conventions.registration import MULTISCALES, PROJ, SPATIAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.readers.subject import Subject


def uuids(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find convention entries without `uuid` at the multiscale group or at an array of it."""
    group = subject.pyramid.node if subject.pyramid is not None else subjects.parent(context, subject.arrays[0])
    for node in [*([group] if group is not None else []), *subject.arrays]:
        for index, entry in enumerate(subjects.entries(node)):
            if not isinstance(entry, dict) or "uuid" not in entry:
                where = ("attributes", "zarr_conventions", index)
                yield Fault(node.path, where, "the entry has no uuid, which is read unchecked", entry, "a uuid")
                return


def group_keys(_: Context, subject: Subject) -> Iterator[Fault]:
    """Find a multiscale group without CRS, without `spatial:dimensions`, or that does not register its conventions."""
    if subject.pyramid is None:
        return
    group = subject.pyramid.node
    for convention in (MULTISCALES, PROJ):
        if not subjects.has_uuid(group, convention):
            message = f"the group does not register {convention.name} by its uuid"
            yield Fault(group.path, ("attributes", "zarr_conventions"), message, None, convention.uuid)
            return
    if not needs.states_crs(group):
        yield Fault(group.path, ("attributes", "proj:code"), "the group states no CRS", None, "a CRS")
    elif subjects.has_uuid(group, SPATIAL) and spatial.DIMENSIONS not in group.attributes:
        yield Fault(group.path, ("attributes", spatial.DIMENSIONS), "the group names no axes", None, "y and x")


def transforms(_: Context, subject: Subject) -> Iterator[Fault]:
    """Find levels with a transform neither on the array nor in the layout."""
    if subject.pyramid is None:
        return
    for item, array in zip(subject.items, subject.arrays, strict=True):
        stated = (array.attributes.get(spatial.TRANSFORM), item.document.get(spatial.TRANSFORM))
        if all(values.transform(value) is None for value in stated):
            where = item.pointer(spatial.TRANSFORM)
            message = "neither the array nor the layout places the level"
            yield Fault(subject.pyramid.node.path, where, message, None, "a transform")
            return


def order(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find layouts that do not begin with the finest level: the first is read in its place."""
    if subject.pyramid is not None and subject.arrays[0] is not subject.finest(context):
        where = subject.items[0].pointer("asset")
        found = subject.items[0].document.get("asset")
        message = "the first level of the layout is not the finest"
        yield Fault(subject.pyramid.node.path, where, message, found, "the finest level first")


def rank(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find arrays of more than three axes."""
    array = subject.finest(context)
    shape = context.shape(array) or ()
    if len(shape) > 3:
        yield Fault(array.path, ("shape",), "there are more than three axes", list(shape), "two or three")


RIO_TILER = Reader(
    "rio-tiler",
    "9.4.12",
    (
        Condition("RD-05", "It indexes the uuid of every convention entry", uuids),
        Condition("RD-05", "It takes CRS and axes of the multiscale group, by uuid", group_keys),
        Condition("SP-14", "It places levels by arrays or layout", transforms),
        Condition("MS-20", "It takes the first level for the finest, the last for the coarsest", order),
        Condition("SP-07", "It cannot cut windows out of rows that go north", needs.south_up),
        Condition("ZARR-07", "zarr-python refuses fill values that do not fit the type", needs.fill_values),
        Condition("ZARR-10", "It decodes what zarr-python decodes", needs.decodes(ZARR_PYTHON)),
        Condition("SP-16", "It reads arrays of two or three axes", rank),
        Condition("ZARR-14", "It takes fill_value for nodata", needs.fill_is_nodata, Loss.NODATA),
    ),
    ZARR_PYTHON,
    frozenset({Loss.PACKING}),
)

READERS = (RIO_TILER,)
