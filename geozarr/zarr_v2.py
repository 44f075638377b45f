"""Documents of Zarr v2 in the form of Zarr v3, so that one reader and one set of rules take both.

What has a counterpart is translated; what has none, or is malformed, stands where its counterpart would, as it is, so
that the rule on that place finds it. A pointer into the form is translated back for the report, and so are documents
that are to be written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from geozarr.documents import key_encoding_of, object_shape_of
from geozarr.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Mapping

Pointer: TypeAlias = tuple[str | int, ...]

ARRAY, GROUP, ATTRIBUTES, CONSOLIDATED = ".zarray", ".zgroup", ".zattrs", ".zmetadata"
DOCUMENTS = (ARRAY, GROUP, ATTRIBUTES, CONSOLIDATED)
ROOT = (GROUP, ATTRIBUTES, CONSOLIDATED)  # documents of the outermost group
DIMENSIONS = "_ARRAY_DIMENSIONS"
_SHUFFLES = {-1: "shuffle", 0: "noshuffle", 1: "shuffle", 2: "bitshuffle"}  # numcodecs.blosc; -1 goes by the type
# Members of `.zarray` by the member of a v3 document that they become.
_MEMBERS = {
    "data_type": "dtype",
    "chunk_grid": "chunks",
    "chunk_key_encoding": "dimension_separator",
    "codecs": "compressor",
    "node_type": "zarr_format",
}


def array_document(array: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
    """Translate the `.zarray` and the `.zattrs` of an array.

    References
    ----------
    Zarr storage specification version 2, Arrays; `_ARRAY_DIMENSIONS` as xarray has it.
    """
    found: dict[str, Any] = {"zarr_format": array.get("zarr_format"), "node_type": "array"}
    for key in ("shape", "fill_value"):
        if key in array:
            found[key] = array[key]
    if "dtype" in array:
        found["data_type"] = data_type(array["dtype"])
    if "chunks" in array:
        found["chunk_grid"] = {"name": "regular", "configuration": {"chunk_shape": array["chunks"]}}
    separator = array.get("dimension_separator", ".")
    found["chunk_key_encoding"] = {"name": "v2", "configuration": {"separator": separator}}
    if "compressor" in array:
        found["codecs"] = _codecs(array)
    if DIMENSIONS in attributes:
        found["dimension_names"] = attributes[DIMENSIONS]
    return {**found, "attributes": attributes}


def group_document(group: dict[str, Any], attributes: dict[str, Any]) -> dict[str, Any]:
    """Translate the `.zgroup` and the `.zattrs` of a group, without its consolidated metadata."""
    return {"zarr_format": group.get("zarr_format"), "node_type": "group", "attributes": attributes}


def consolidated(document: dict[str, Any]) -> Any:
    """Translate a `.zmetadata` into the `consolidated_metadata` of a group; as it is where it is malformed.

    Its entries are single documents by key. Those of the group itself become the entry "".
    """
    entries = document.get("metadata")
    if document.get("zarr_consolidated_format") != 1 or not isinstance(entries, dict):
        return {key: value for key, value in document.items() if key != "metadata"}
    nodes: dict[str, dict[str, Any]] = {}
    for key, value in entries.items():
        path, _, name = key.rpartition("/")
        nodes.setdefault(path, {})[name] = value
    translated = {path: _node(documents) for path, documents in nodes.items()}
    metadata = {path: node for path, node in translated.items() if node is not None}
    return {"kind": "inline", "must_understand": False, "metadata": metadata}


def _node(documents: dict[str, Any]) -> Any:
    attributes = documents.get(ATTRIBUTES, {})
    for name, translate in ((ARRAY, array_document), (GROUP, group_document)):
        if name in documents:
            document = documents[name]
            is_whole = isinstance(document, dict) and isinstance(attributes, dict)
            return translate(document, attributes) if is_whole else documents
    return None  # an entry of something else


def data_type(dtype: Any) -> Any:
    """Translate a NumPy type string; structures and what is no type string become extensions that nothing reads."""
    if isinstance(dtype, list):
        return {"name": "struct", "configuration": {"fields": dtype}}
    if not isinstance(dtype, str) or dtype[:1] not in ("<", ">", "|"):
        return dtype
    kind, size = dtype[1:2], dtype[2:]
    if kind in ("S", "U", "V"):
        name = {"S": "null_terminated_bytes", "U": "fixed_length_utf32", "V": "raw_bytes"}[kind]
        return {"name": name, "configuration": {"type": dtype}}
    if kind in ("M", "m"):
        name = {"M": "numpy.datetime64", "m": "numpy.timedelta64"}[kind]
        return {"name": name, "configuration": {"type": dtype}}
    if dtype == "|O":
        return {"name": "string", "configuration": {}}
    try:
        return np.dtype(dtype).name if size.isdigit() and kind in ("b", "i", "u", "f", "c") else dtype
    except TypeError:
        return dtype


def _codecs(array: dict[str, Any]) -> Any:
    """Translate order, byte order, filters and compressor into a chain."""
    dtype, filters, compressor = array.get("dtype"), array.get("filters"), array["compressor"]
    if filters is not None and not isinstance(filters, list):
        return {"filters": filters}
    shape = array.get("shape")
    rank = len(shape) if isinstance(shape, list) else 0
    transposed = array.get("order") == "F" and rank > 1
    first = [{"name": "transpose", "configuration": {"order": list(range(rank))[::-1]}}] if transposed else []
    endian = "big" if isinstance(dtype, str) and dtype[:1] == ">" else "little"
    middle = [{"name": "bytes", "configuration": {"endian": endian}}]
    last = [] if compressor is None else [_codec(compressor, dtype)]
    coded = [_filter(codec) for codec in filters or ()]
    if any(isinstance(codec, dict) and codec.get("name") in _TO_BYTES for codec in coded):
        middle = []  # the filter makes bytes itself
    return [*first, *coded, *middle, *last]


_TO_BYTES = ("vlen-utf8", "vlen-bytes", "numcodecs.json2", "numcodecs.msgpack2", "numcodecs.pickle")


def _filter(codec: Any) -> Any:
    name = codec.get("id") if isinstance(codec, dict) else None
    if not isinstance(name, str):
        return codec
    configuration = {key: value for key, value in codec.items() if key != "id"}
    return {"name": name if name in _TO_BYTES else f"numcodecs.{name}", "configuration": configuration}


def _codec(codec: Any, dtype: Any) -> Any:
    """Translate a compressor to the codec of Zarr v3 that undoes it."""
    name = codec.get("id") if isinstance(codec, dict) else None
    if not isinstance(name, str):
        return codec
    configuration = {key: value for key, value in codec.items() if key != "id"}
    if name == "blosc":
        shuffle = configuration.get("shuffle")
        if isinstance(shuffle, int) and not isinstance(shuffle, bool) and shuffle in _SHUFFLES:
            configuration["shuffle"] = _SHUFFLES[shuffle]
        configuration.setdefault("blocksize", 0)
        size = dtype[2:] if isinstance(dtype, str) else ""
        configuration.setdefault("typesize", int(size) if size.isdigit() and 0 < int(size[:4]) < 256 else 1)
    elif name not in ("gzip", "zstd"):
        name = f"numcodecs.{name}"
    return {"name": name, "configuration": configuration}


def stored_documents(document: dict[str, Any], *, node: str) -> dict[str, dict[str, Any]]:
    """Translate a document of Zarr v2 from the form of v3 to those that are stored; what reading undoes.

    Parameters
    ----------
    document : dict
        Of a group, or of an array in chunks of blosc; its consolidated metadata are left out.
    node : str
        Its path, for messages.

    Returns
    -------
    dict
        Documents by their names; `.zattrs` where there are any attributes.

    Raises
    ------
    UnsupportedError
        If an array has another chain of codecs.
    """
    attributes = document["attributes"]
    if document["node_type"] == "group":
        return {GROUP: {"zarr_format": 2}, **({ATTRIBUTES: attributes} if attributes else {})}
    shape = document["shape"]
    array = {
        "zarr_format": 2,
        "shape": shape,
        "chunks": list(object_shape_of(document, rank=len(shape), node=node)),
        "dtype": np.dtype(document["data_type"]).newbyteorder("<").str,
        "compressor": _compressor(document["codecs"], node),
        "fill_value": document["fill_value"],
        "order": "C",
        "filters": None,
        "dimension_separator": key_encoding_of(document, node=node).separator,
    }
    return {ARRAY: array, ATTRIBUTES: {**attributes, DIMENSIONS: document["dimension_names"]}}


def _compressor(codecs: list[dict[str, Any]], node: str) -> dict[str, Any]:
    """Translate a chain of little-endian bytes and blosc; numcodecs takes the size of a value from the array."""
    if [codec["name"] for codec in codecs] != ["bytes", "blosc"]:
        found = ", ".join(codec["name"] for codec in codecs)
        raise UnsupportedError(f"codecs {found} of {node} in Zarr v2", "chunks are written as bytes through blosc")
    configuration = codecs[1]["configuration"]
    numbers = {name: number for number, name in _SHUFFLES.items() if number >= 0}
    return {
        "id": "blosc",
        "cname": configuration["cname"],
        "clevel": configuration["clevel"],
        "shuffle": numbers[configuration["shuffle"]],
        "blocksize": configuration["blocksize"],
    }


def consolidated_document(nodes: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Collect the documents of all nodes into a `.zmetadata`: in the form of v3, by path; the group itself is ""."""
    entries = {
        f"{path}/{name}".lstrip("/"): stored
        for path, document in nodes.items()
        for name, stored in stored_documents(document, node=f"/{path}").items()
    }
    return {"zarr_consolidated_format": 1, "metadata": entries}


def place(pointer: Pointer, *, is_array: bool) -> tuple[str, Pointer]:
    """Tell which document of Zarr v2 a pointer into the form means, and where in it."""
    if not pointer:
        return ARRAY if is_array else GROUP, ()
    first, rest = pointer[0], pointer[1:]
    if first == "attributes":
        return ATTRIBUTES, rest
    if first == "dimension_names":
        return ATTRIBUTES, (DIMENSIONS, *rest)
    if first == "consolidated_metadata":
        return CONSOLIDATED, rest
    document = ARRAY if is_array else GROUP
    if first == "chunk_grid" and rest[:2] == ("configuration", "chunk_shape"):
        return document, ("chunks", *rest[2:])
    if first in _MEMBERS:
        return document, (_MEMBERS[str(first)],)
    return document, pointer
