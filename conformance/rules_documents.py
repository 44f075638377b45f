"""Rules on Zarr documents: keys, node names, data types, chunk grids (Zarr specification, versions 3 and 2)."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from conformance import layouts, values
from conformance.report import Fault, Rule, Severity
from conformance.rules_consolidated import has_documents_below
from conformance.tree import blocks, is_legal_name
from geozarr.store import join

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conformance.context import Context
    from conformance.report import Pointer
    from conformance.tree import Node

_ARRAY_KEYS = frozenset(
    ("zarr_format", "node_type", "shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs")
)
_ARRAY_OPTIONS = frozenset(("attributes", "dimension_names", "storage_transformers"))
_GROUP_KEYS = frozenset(("zarr_format", "node_type"))
_GROUP_OPTIONS = frozenset(("attributes", "consolidated_metadata"))
# Members of a `.zarray` that its form as a document of v3 does not show: what they may be, and that in words.
_V2_MEMBERS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "compressor": (lambda value: value is None or isinstance(value, dict), "null or an object with an id"),
    "filters": (lambda value: value is None or isinstance(value, list), "null or an array of objects with an id"),
    "order": (lambda value: value in ("C", "F"), '"C" or "F"'),
}
_RAW_BITS = re.compile(r"r[1-9][0-9]*")
# Extensions registered in zarr-developers/zarr-extensions: legal, but numpy has no fixed-size number for them.
_EXTENSION_DTYPES = ("bfloat16", "complex64", "complex128", "string", "bytes", "numpy.datetime64", "numpy.timedelta64")


def check_arrays(context: Context) -> Iterator[Fault]:
    """Find array documents that cannot be read, lack a key or have one of another form."""
    yield from _unreadable(context, arrays=True)
    forms: dict[str, tuple[Callable[[Any], Any], str]] = {
        "node_type": (lambda value: value if value == "array" else None, '"array"'),
        "shape": (values.wholes, "an array of whole numbers of at least 0"),
        "data_type": (_data_type, "a data type of Zarr v3"),
        "chunk_grid": (values.extension, "a name with a configuration"),
        "chunk_key_encoding": (values.extension, "a name with a configuration"),
        "storage_transformers": (lambda value: value if isinstance(value, list) else None, "an array"),
        "codecs": (
            lambda value: value if isinstance(value, list) and value else None,
            "an array of at least one codec",
        ),
    }
    for array in context.tree.arrays:
        yield from _duplicates(array)
        bad = set()
        for key, (is_good, expected) in _V2_MEMBERS.items() if array.version == 2 and not array.is_copy else ():
            if key not in array.stored or not is_good(array.stored[key]):
                found = array.stored.get(key)
                message = f"{key} is malformed" if key in array.stored else f"the array has no {key}"
                yield Fault(array.path, (key,), message, found, expected, voids=((array.path, ("codecs",)),))
                bad.add("codecs")
        for key in sorted((_ARRAY_KEYS | {"storage_transformers"}) - bad):
            parse, expected = forms.get(key, (lambda _: True, ""))
            if key == "zarr_format":
                parse, expected = partial(_format, version=array.version), str(array.version)
            if key not in array.document and key in _ARRAY_OPTIONS:
                continue
            name = array.place((key,))[1][0]
            if key not in array.document:
                yield Fault(array.path, (key,), f"the array has no {name}", None, expected or "a value")
            elif parse(array.document[key]) is None:
                yield Fault(array.path, (key,), f"{name} is malformed", array.document[key], expected)
        yield from _attributes(array)
        yield from _rank(context, array)


def check_groups(context: Context) -> Iterator[Fault]:
    """Find group documents that cannot be read, lack a key or have one of another form."""
    yield from _unreadable(context, arrays=False)
    for group in context.tree.groups:
        yield from _duplicates(group)
        if _format(group.document.get("zarr_format"), version=group.version) is None:
            found, version = group.document.get("zarr_format"), group.version
            yield Fault(
                group.path, ("zarr_format",), f"zarr_format is not that of Zarr v{version}", found, f"{version}"
            )
        if group.document.get("node_type") != "group":
            found = group.document.get("node_type")
            yield Fault(group.path, ("node_type",), "node_type is malformed", found, '"group" or "array"')
        yield from _attributes(group)


def check_no_implicit_groups(context: Context) -> Iterator[Fault]:
    """Find folders without a document above nodes that have one."""
    for path, node in context.tree.nodes.items():
        if node.is_missing and has_documents_below(context, path):
            name = node.place(())[0]
            yield Fault(path, (), "nodes lie below a group that has no document", None, f"a {name} of a group")


def check_keys(context: Context) -> Iterator[Fault]:
    """Find top-level keys that a reader must refuse."""
    for node in context.tree.nodes.values():
        known = _ARRAY_KEYS | _ARRAY_OPTIONS if node.is_array else _GROUP_KEYS | _GROUP_OPTIONS
        for key, value in node.document.items():
            may_ignore = isinstance(value, dict) and value.get("must_understand") is False
            if key not in known and not may_ignore and node.is_known:
                expected = 'no such key, or an object with "must_understand": false'
                yield Fault(node.path, (key,), "unknown key, which readers must refuse", value, expected)


def check_names(context: Context) -> Iterator[Fault]:
    """Find names that no node may have, in the store, in consolidated metadata and in assets."""
    expected = 'a name that is not empty, not only dots, not "zarr.json" and does not begin with "__"'
    for node in context.tree.nodes.values():
        if node.path and not is_legal_name(node.name):
            yield Fault(node.path, (), "illegal name of a node", node.name, expected)
        for path in blocks(node):
            is_stored = join(node.path, path) in context.tree.nodes
            if not is_stored and not all(map(is_legal_name, path.split("/"))):
                pointer = ("consolidated_metadata", "metadata", path)
                yield Fault(node.path, pointer, "illegal name of a node", path, expected)
    for pyramid in context.pyramids:
        for item in pyramid.items:
            asset = layouts.asset_of(item)
            if asset is not None and not all(map(is_legal_name, asset.split("/"))):
                yield Fault(pyramid.node.path, item.pointer("asset"), "illegal name of a node", asset, expected)


def check_chunks(context: Context) -> Iterator[Fault]:
    """Find chunk grids and chunk keys that are not those of the core specification."""
    for array in context.tree.arrays:
        grid = context.member(array, "chunk_grid", values.extension)
        shape = context.shape(array)
        if grid is not None:
            pointer: Pointer = ("chunk_grid", "configuration", "chunk_shape")
            found = grid[1].get("chunk_shape")
            if grid[0] != "regular":
                message = "the chunk grid is none that most readers know"
                yield Fault(array.path, ("chunk_grid",), message, grid[0], '"regular"', severity=Severity.WARNING)
            elif (chunk := values.wholes(found, least=1)) is None:
                yield Fault(array.path, pointer, "chunk sizes are malformed", found, "whole numbers of at least 1")
            elif shape is not None and len(chunk) != len(shape):
                yield Fault(array.path, pointer, "chunk and array differ in rank", found, f"{len(shape)} sizes")
        encoding = context.member(array, "chunk_key_encoding", values.extension)
        if encoding is not None:
            name, configuration = encoding
            if name not in ("default", "v2"):
                where: Pointer = ("chunk_key_encoding", "name")
                yield Fault(array.path, where, "unknown encoding of chunk keys", name, '"default" or "v2"')
            elif configuration.get("separator", "/") not in ("/", "."):
                where = ("chunk_key_encoding", "configuration", "separator")
                yield Fault(array.path, where, "unknown separator", configuration["separator"], '"/" or "."')


def _unreadable(context: Context, *, arrays: bool) -> Iterator[Fault]:
    for path, node in context.tree.nodes.items():
        if not node.fault or node.is_missing:
            continue
        # Without a copy, what lies below tells a group from an array.
        is_array = node.is_array if node.is_copy else not context.tree.children(path) and bool(path)
        if is_array == arrays:
            yield Fault(path, (), f"the document cannot be read: {node.fault}", None, "a JSON object in UTF-8")


def _duplicates(node: Node) -> Iterator[Fault]:
    if node.duplicates:
        message = "keys are stated more than once, which readers resolve differently"
        yield Fault(node.path, (), message, list(node.duplicates), "each key once in its object")


def _attributes(node: Node) -> Iterator[Fault]:
    found = node.document.get("attributes", {})
    if not isinstance(found, dict):
        yield Fault(node.path, ("attributes",), "the attributes are no object", found, "an object")


def _rank(context: Context, array: Node) -> Iterator[Fault]:
    """Blame the shape where names and chunk agree with each other and not with it."""
    shape = context.shape(array)
    names = context.member(array, "dimension_names", values.dimension_names)
    chunk = context.member(array, "chunk_grid", values.chunk_shape)
    if shape is not None and names is not None and chunk is not None and len(names) == len(chunk) != len(shape):
        expected = f"{len(chunk)} sizes, as dimension_names and chunk_shape have"
        yield Fault(array.path, ("shape",), "the shape has another rank than the rest", list(shape), expected)


def _format(value: Any, *, version: int) -> int | None:
    return version if values.whole(value) == version else None


def _data_type(value: Any) -> str | None:
    found = values.extension(value)
    if found is None:
        return None
    known = (*values.CORE_DTYPES, *_EXTENSION_DTYPES)
    return found[0] if isinstance(value, dict) or value in known or _RAW_BITS.fullmatch(value) else None


_CORE = "Zarr v3 core"
RULES = (
    Rule("ZARR-01", f"{_CORE}, array metadata", "An array document has the keys of Zarr v3", check_arrays),
    Rule("ZARR-02", f"{_CORE}, group metadata", "A group document has the keys of Zarr v3", check_groups),
    Rule("ZARR-03", f"{_CORE}, hierarchy", "Every group has its document", check_no_implicit_groups),
    Rule("ZARR-04", f"{_CORE}, extensions", "No key that a reader must refuse", check_keys),
    Rule("ZARR-06", f"{_CORE}, node names", "Node names are legal, in assets too", check_names),
    Rule("ZARR-08", f"{_CORE}, chunk grids and chunk keys", "Chunk sizes and chunk keys have their form", check_chunks),
)
