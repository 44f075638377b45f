"""Rules on `zarr_conventions`: which conventions a node says it uses (zarr-conventions-spec v1).

The framework's schema checks the form of an entry. The schemas of spatial and proj v0.1 fix the values of theirs too,
but place them beside a `$ref`, where draft-07 ignores them, so the values are compared here (SPEC ZC-15).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from conformance.context import claims
from conformance.report import Fault, Rule, Severity
from geozarr.conventions.registration import KEY, KNOWN, MULTISCALES, PROJ, SPATIAL, Convention

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.report import Pointer
    from conformance.tree import Node

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_MEMBERS = ("schema_url", "spec_url", "uuid", "name", "description")
_IDENTIFIERS = ("uuid", "schema_url", "spec_url")
_REVISION = re.compile(r"(?:/refs/tags|/blob|/raw|/tree)/([^/]+)/|/([0-9a-f]{7,40})/schema\.json$")
# The commits that the v0.1 tags name (SPEC section 0): a URL pinned to them means v0.1.
_PINNED = ("9b78efa", "54d81b7", "5ca5b2f")
_RETIRED = ("v1",)  # written by most tools before 2026-06, never published


def check_array(context: Context) -> Iterator[Fault]:
    """Find registrations that are no array of objects."""
    for node in context.tree.nodes.values():
        found = node.attributes.get(KEY, [])
        if not isinstance(found, list):
            yield Fault(node.path, ("attributes", KEY), f"{KEY} is no array", found, "an array of objects")
            continue
        for index, entry in enumerate(found):
            if not isinstance(entry, dict):
                yield Fault(node.path, _at(index), "a convention is no object", entry, "a convention metadata object")


def check_misplaced(context: Context) -> Iterator[Fault]:
    """Find properties of a convention inside its registration, where no reader looks."""
    for node, index, entry in _entries(context):
        found = sorted(
            key for key in entry if key.startswith(("proj:", "spatial:")) or key in ("multiscales", "layout")
        )
        if found:
            message = "properties of a convention stand in its registration"
            yield Fault(
                node.path,
                _at(index, found[0]),
                message,
                found,
                "them at the root of attributes",
                voids=tuple((node.path, ("attributes", key)) for key in found),
            )


def check_members(context: Context) -> Iterator[Fault]:
    """Find members that a convention metadata object has not, and members that are no strings."""
    for node, index, entry in _entries(context):
        strange = sorted(set(entry) - set(_MEMBERS))
        if strange:
            expected = ", ".join(_MEMBERS)
            yield Fault(node.path, _at(index, strange[0]), "unknown members of a registration", strange, expected)
        for key in _MEMBERS:
            if key in entry and not isinstance(entry[key], str):
                yield Fault(node.path, _at(index, key), f"{key} is no string", entry[key], "a string")


def check_identified(context: Context) -> Iterator[Fault]:
    """Find registrations without any of the three identifiers."""
    for node, index, entry in _entries(context):
        if not any(key in entry for key in _IDENTIFIERS):
            expected = "uuid, schema_url or spec_url; a name identifies nothing"
            yield Fault(node.path, _at(index), "a convention without an identifier", entry, expected)


def check_identifiers(context: Context) -> Iterator[Fault]:
    """Find uuids and URLs that are none."""
    for node, index, entry in _entries(context):
        uuid = entry.get("uuid")
        if isinstance(uuid, str) and not UUID.fullmatch(uuid):
            yield Fault(node.path, _at(index, "uuid"), "the uuid is malformed", uuid, "lower-case hexadecimal digits")
        for key in ("schema_url", "spec_url"):
            if isinstance(entry.get(key), str) and not _is_uri(entry[key]):
                yield Fault(node.path, _at(index, key), f"{key} is no URI", entry[key], "an absolute URI")


def check_uuid(context: Context) -> Iterator[Fault]:
    """Find registrations without a uuid, which is all that GDAL, titiler-eopf and OpenLayers match."""
    for node, index, entry in _entries(context):
        if "uuid" not in entry and any(key in entry for key in _IDENTIFIERS):
            needed = claims(entry) == {MULTISCALES}
            expected = next((known.uuid for known in claims(entry)), "the convention's uuid")
            severity = Severity.ERROR if needed else Severity.WARNING
            yield Fault(node.path, _at(index, "uuid"), "a convention without uuid", None, expected, severity=severity)


def check_named(context: Context) -> Iterator[Fault]:
    """Find registrations without a name."""
    for node, index, entry in _entries(context):
        if "name" not in entry:
            yield Fault(node.path, _at(index, "name"), "a convention without name", None, "a name for people")


def check_one_convention(context: Context) -> Iterator[Fault]:
    """Find registrations whose uuid and URLs mean different conventions or revisions."""
    for node, index, entry in _entries(context):
        uuid = entry.get("uuid")
        meant = {known.name for known in claims(entry)}
        is_foreign = isinstance(uuid, str) and UUID.fullmatch(uuid) and not any(uuid == known.uuid for known in KNOWN)
        revisions = {revision for key in ("schema_url", "spec_url") if (revision := _revision(entry.get(key)))}
        expected = "uuid, schema_url and spec_url of one convention and one revision"
        if len(meant) > 1 or (meant and is_foreign):
            found = {key: entry[key] for key in _IDENTIFIERS if key in entry}
            yield Fault(node.path, _at(index), "the identifiers mean different conventions", found, expected)
        elif len(meant) == 1 and len(revisions) > 1:
            found = {key: entry.get(key) for key in ("schema_url", "spec_url")}
            yield Fault(node.path, _at(index), "the URLs mean different revisions", found, expected)


def check_no_duplicates(context: Context) -> Iterator[Fault]:
    """Find conventions that a node registers twice."""
    seen: dict[str, set[Convention]] = {}
    for node, index, entry in _entries(context):
        known = _only(claims(entry))
        if known is not None and known in seen.setdefault(node.path, set()):
            yield Fault(node.path, _at(index), f"{known.name} is registered twice", entry, "one registration")
        if known is not None:
            seen[node.path].add(known)


def check_revision(context: Context) -> Iterator[Fault]:
    """Find registrations of a retired revision; they are read all the same."""
    for node, index, entry in _entries(context):
        revisions = {_revision(entry.get(key)) for key in ("schema_url", "spec_url")}
        for known in claims(entry):
            if revisions & set(_RETIRED):
                found = entry.get("schema_url") or entry.get("spec_url")
                message = f"retired revision of {known.name}"
                yield Fault(node.path, _at(index, "schema_url"), message, found, known.schema_url)


def check_values(context: Context) -> Iterator[Fault]:
    """Find registrations of v0.1 whose members are not those that v0.1 fixes."""
    for node, index, entry in _entries(context):
        known = _only(claims(entry))
        if known is None or {_revision(entry.get(key)) for key in ("schema_url", "spec_url")} & set(_RETIRED):
            continue
        for key, expected in known.to_document().items():
            found = entry.get(key)
            if not isinstance(found, str) or found == expected or (key == "uuid" and found.lower() == expected):
                continue
            severity = Severity.ERROR if known is MULTISCALES else Severity.WARNING
            if severity is Severity.WARNING and key.endswith("_url") and _is_pinned(found):
                severity = Severity.INFO
            message = f"{key} is not that of {known.name} v0.1"
            where = _at(index, key)
            yield Fault(
                node.path, where, message, found, expected, severity=severity, relies=((node.path, _at(index)),)
            )


def check_composed(context: Context) -> Iterator[Fault]:
    """Find nodes with keys of proj and of spatial that register only one of the two."""
    for node in context.tree.nodes.values():
        registered, used = context.registered(node), context.uses(node)
        pair = {PROJ, SPATIAL}
        missing = pair - registered.conventions
        if pair <= used and len(missing) == 1 and not registered.is_doubtful:
            absent = next(iter(missing))
            message = f"proj and spatial compose, but {absent.name} is not registered"
            yield Fault(node.path, ("attributes", KEY, "-"), message, None, f"uuid {absent.uuid}")


def check_declared(context: Context) -> Iterator[Fault]:
    """Find keys of a convention that the node does not register."""
    for node in context.tree.nodes.values():
        registered, used = context.registered(node), context.uses(node)
        missing = used - registered.conventions
        if {PROJ, SPATIAL} <= used and len({PROJ, SPATIAL} - registered.conventions) == 1:
            missing -= {PROJ, SPATIAL}  # the rule on composition says so already
        if registered.is_doubtful or not missing:
            continue
        above = {
            known for group in context.tree.ancestors(node.path) for known in context.registered(group).conventions
        }
        names = ", ".join(sorted(known.name for known in missing))
        message = f"keys of {names} without a registration" + (" at this node" if missing <= above else "")
        severity = Severity.WARNING if missing <= above else Severity.ERROR
        found = [known.name for known in sorted(registered.conventions, key=lambda known: known.name)]
        yield Fault(node.path, ("attributes", KEY), message, found or None, f"{names} in {KEY}", severity=severity)


def check_needed_keys(context: Context) -> Iterator[Fault]:
    """Find groups that register spatial and say nothing with it."""
    for group in context.tree.groups:
        registered = context.registered(group)
        is_idle = SPATIAL in registered.conventions - context.uses(group) and not registered.is_doubtful
        if is_idle and not serves_below(context, group, SPATIAL):
            message = "spatial is registered, but the group has no spatial key"
            yield Fault(group.path, ("attributes", "spatial:dimensions"), message, None, "a spatial key")


def serves_below(context: Context, group: Node, convention: Convention) -> bool:
    """Tell whether nodes below a group rely on its registration, which ZC-09 reports at them."""
    below = context.tree.below(group.path)
    return any(convention in context.uses(node) - context.registered(node).conventions for node in below)


def _entries(context: Context) -> Iterator[tuple[Node, int, dict[str, Any]]]:
    for node in context.tree.nodes.values():
        found = node.attributes.get(KEY, [])
        for index, entry in enumerate(found if isinstance(found, list) else ()):
            if isinstance(entry, dict):
                yield node, index, entry


def _at(index: int, *keys: str) -> Pointer:
    return ("attributes", KEY, index, *keys)


def _only(meant: frozenset[Convention]) -> Convention | None:
    """Return the convention that an entry means, where it means one."""
    return next(iter(meant)) if len(meant) == 1 else None


def _is_uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and (parts.netloc or parts.path)) and not re.search(r"\s", text)


def _revision(url: Any) -> str:
    """Name the revision that a URL of a known convention is of; "" where it is of none."""
    if not isinstance(url, str) or not any(known.owns_url(url) for known in KNOWN):
        return ""
    match = _REVISION.search(url)
    revision = (match[1] or match[2]) if match else ""
    return "v0.1" if revision.startswith(_PINNED) else revision


def _is_pinned(url: str) -> bool:
    match = _REVISION.search(url)
    return match is not None and (match[1] or match[2]).startswith(_PINNED)


_ZCS = "zarr-conventions-spec v1"
RULES = (
    Rule("ZC-01", _ZCS, "zarr_conventions is an array of objects", check_array),
    Rule("ZC-08", _ZCS, "Properties stand at the root of attributes, not in the registration", check_misplaced),
    Rule("ZC-03", f"{_ZCS} schema", "A registration has five members, all strings", check_members),
    Rule("ZC-02", _ZCS, "A registration has uuid, schema_url or spec_url", check_identified),
    Rule("ZC-04", f"{_ZCS} schema", "uuid and URLs have their form", check_identifiers),
    Rule(
        "ZC-12",
        "GeoZarr working group 2026-05; multiscales v0.1 schema",
        "A uuid is given",
        check_uuid,
        Severity.WARNING,
    ),
    Rule("ZC-07", _ZCS, "A name is given", check_named, Severity.WARNING),
    Rule("ZC-14", "derived", "uuid and URLs belong to one convention and revision", check_one_convention),
    Rule("ZC-13", "derived", "A convention is registered once", check_no_duplicates),
    Rule("ZC-16", "practice", "The revision is published", check_revision, Severity.WARNING),
    Rule("ZC-15", "multiscales, spatial and proj v0.1 schemas", "Registrations have the values of v0.1", check_values),
    Rule("ZC-17", "spatial v0.1 FAQ", "Both conventions are registered where spatial and proj compose", check_composed),
    Rule("ZC-09", _ZCS, "What is used is registered at the node itself", check_declared),
    Rule("ZC-10", "derived", "What is registered is used", check_needed_keys),
)
