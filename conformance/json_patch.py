"""JSON patches (RFC 6902), as far as documents need them: add, replace and remove."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from conformance.report import Pointer


def change(document: Any, op: str, pointer: Pointer, value: object = None) -> None:
    """Apply one operation to a document.

    Parameters
    ----------
    document : dict or list
        Changed in place.
    op : str
        "add", "replace" or "remove".
    pointer : Pointer
        Where; not the document as a whole. "-" adds to the end of an array, and an index inserts before it.
    value : object
        What is added, or put in the place.

    Raises
    ------
    KeyError, IndexError, TypeError, ValueError
        If there is no such place.
    """
    *where, last = pointer
    for part in where:
        document = document[part]
    if op == "remove":
        del document[last]
    elif op == "add" and isinstance(document, list):
        document.insert(len(document) if last == "-" else int(last), value)
    elif op == "replace" and last not in (range(len(document)) if isinstance(document, list) else document):
        raise KeyError(last)
    else:
        document[last] = value


def apply(document: Any, operations: Iterable[dict[str, Any]]) -> None:
    """Apply operations as they are written in JSON to a document, in place; raises as `change` does."""
    for operation in operations:
        pointer = _parse(operation["path"], document)
        change(document, operation["op"], pointer, operation.get("value"))


def operations(before: Any, after: Any) -> list[dict[str, Any]]:
    """List operations that make one document of another; numbers are told apart as JSON writes them."""
    return list(_operations(before, after, ""))


def _operations(before: Any, after: Any, path: str) -> Iterator[dict[str, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before:
            if key not in after:
                yield {"op": "remove", "path": f"{path}/{_escaped(key)}"}
        for key, value in after.items():
            if key not in before:
                yield {"op": "add", "path": f"{path}/{_escaped(key)}", "value": value}
            else:
                yield from _operations(before[key], value, f"{path}/{_escaped(key)}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from _operations(old, new, f"{path}/{index}")
    elif type(before) is not type(after) or before != after:
        yield {"op": "replace", "path": path, "value": after}


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


def _parse(path: str, document: Any) -> Pointer:
    """Read a JSON pointer (RFC 6901); parts that count in an array become numbers."""
    found: list[str | int] = []
    for text in path.split("/")[1:]:
        part: str | int = text.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list) and part != "-":
            part = int(part)
        found.append(part)
        document = _at(document, part)
    return tuple(found)


def _at(document: Any, part: str | int) -> Any:
    try:
        return document[part]
    except (KeyError, IndexError, TypeError):
        return None  # the place of something that is added
