"""Rules on consolidated metadata: complete, and equal to each node's own document (Zarr v3 main, PR#373).

These run first. Where the two copies of a document differ, nobody can say which is right, so the values that differ
are reported here once and judged no further.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance.report import Fault, Rule, shown
from conformance.tree import blocks
from conformance.values import differences
from geozarr.store import join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.report import Pointer
    from conformance.tree import Node

KEY = "consolidated_metadata"
_FORM_V2 = '"zarr_consolidated_format": 1 and "metadata", an object of documents by key'
_FORM = 'an object of exactly "kind": "inline", "must_understand": false and "metadata"'


def check_complete(context: Context) -> Iterator[Fault]:
    """Find consolidated metadata of another form, nodes missing in it, and entries without a document."""
    for group in _outermost(context):
        block = group.document[KEY]
        entries = block.get("metadata") if isinstance(block, dict) else None
        if not _is_block(block):
            yield Fault(
                group.path,
                (KEY,),
                "the consolidated metadata are malformed",
                _outline(block),
                _FORM if group.version == 3 else _FORM_V2,
            )
        if not isinstance(entries, dict):
            continue
        for path, document in entries.items():
            if not isinstance(document, dict):
                pointer = (KEY, "metadata", path)
                yield Fault(group.path, pointer, "a consolidated entry is no document", document, "an object")
        yield from _missing(context, group, entries)
    yield from _extra(context)


def check_equal(context: Context) -> Iterator[Fault]:
    """Find entries that differ from the node's own document."""
    for group in _outermost(context):
        for relative, copy in blocks(group).items():
            node = context.tree.nodes.get(join(group.path, relative))
            if node is None or node.fault or copy is node.document:
                continue
            found = list(differences(_plain(node.document), _plain(copy)))
            if found:
                others = f" and at {len(found) - 1} more places" if len(found) > 1 else ""
                yield Fault(
                    node.path,
                    found[0],
                    f"the consolidated copy in /{group.path} differs here{others}; readers take the copy",
                    found=_at(copy, found[0]),
                    expected=f"the node's own value, {shown(_at(node.document, found[0]))}",
                    voids=tuple((node.path, pointer) for pointer in found[1:]),
                )


def check_nested(context: Context) -> Iterator[Fault]:
    """Find consolidated metadata of nested groups that differ from the nodes' documents."""
    outermost = {group.path for group in _outermost(context)}
    for group in context.tree.groups:
        if group.fault:
            continue
        if group.path not in outermost and group.document.get(KEY) is not None:
            yield from _nested(context, group, group.path, blocks(group), ())
        for relative, copy in blocks(group).items():
            inner = copy.get(KEY)
            entries = inner.get("metadata") if isinstance(inner, dict) else None
            if isinstance(entries, dict):
                yield from _nested(
                    context, group, join(group.path, relative), entries, (KEY, "metadata", relative), partial=True
                )


def _nested(
    context: Context, holder: Node, base: str, entries: dict[str, Any], prefix: Pointer, *, partial: bool = False
) -> Iterator[Fault]:
    """Compare a block with the documents below `base`; `partial` blocks need not hold them all."""
    for relative, copy in entries.items():
        path = join(base, relative)
        node = context.tree.nodes.get(path)
        pointer = (*prefix, KEY, "metadata", relative)
        if node is None or node.is_missing:
            message = "a nested consolidated entry has no document"
            yield Fault(holder.path, pointer, message, path, "a node", relies=((path, ()),))
            continue
        if copy is node.document:
            continue
        found = next(differences(_plain(node.document), _plain(copy)), None) if isinstance(copy, dict) else ()
        if found is not None and not node.fault:
            message = "nested consolidated metadata differ from the node's own document"
            expected = f"the node's own value, {shown(_at(node.document, found))}"
            yield Fault(holder.path, (*pointer, *found), message, _at(copy, found), expected, relies=((path, found),))
    below = context.tree.below(base) if not partial else ()
    missing = [node.path for node in below if not node.is_missing and node.path[len(base) + 1 :] not in entries]
    if missing:
        message = f"nested consolidated metadata lack {len(missing)} nodes"
        yield Fault(holder.path, (*prefix, KEY, "metadata"), message, None, f"an entry for {missing[0]}")


def _outermost(context: Context) -> list[Node]:
    """List groups with consolidated metadata that lie in no other group with such."""
    found: list[Node] = []
    for group in context.tree.groups:  # parents come before children
        above = {ancestor.path for ancestor in context.tree.ancestors(group.path)}
        if not group.fault and group.document.get(KEY) is not None and not any(item.path in above for item in found):
            found.append(group)
    return found


def _missing(context: Context, group: Node, entries: dict[str, Any]) -> Iterator[Fault]:
    reported: set[str] = set()
    prefix = f"{group.path}/" if group.path else ""
    for node in context.tree.below(group.path):
        path = node.path
        if node.fault or path[len(prefix) :] in entries:
            continue
        if not any(ancestor.path in reported for ancestor in context.tree.ancestors(path)):
            message = f"a node is missing in the consolidated metadata of /{group.path}"
            pointer = (KEY, "metadata", path[len(prefix) :])
            yield Fault(group.path, pointer, message, None, f"a copy of the document of /{path}")
        reported.add(path)


def _extra(context: Context) -> Iterator[Fault]:
    """Nodes that only consolidated metadata know, unless an implicit group explains it (ZARR-03)."""
    reported: set[str] = set()
    for path, node in context.tree.nodes.items():
        if not node.is_missing or not node.is_copy or has_documents_below(context, path):
            continue
        if not any(ancestor.path in reported for ancestor in context.tree.ancestors(path)):
            name = node.place(())[0]
            yield Fault(path, (), "a node of the consolidated metadata has no document", None, f"a {name}")
        reported.add(path)


def has_documents_below(context: Context, path: str) -> bool:
    """Tell whether a node has a descendant with a document of its own."""
    return any(
        not child.is_missing or has_documents_below(context, child.path) for child in context.tree.children(path)
    )


def _is_block(block: Any) -> bool:
    return (
        isinstance(block, dict)
        and set(block) == {"kind", "must_understand", "metadata"}
        and block["kind"] == "inline"
        and block["must_understand"] is False
        and isinstance(block["metadata"], dict)
    )


def _outline(block: Any) -> Any:
    return (
        {key: value if key != "metadata" else "..." for key, value in block.items()}
        if isinstance(block, dict)
        else block
    )


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """Leave out a group's own consolidated metadata, which are compared by themselves."""
    return {key: value for key, value in document.items() if key != KEY}


def _at(document: Any, pointer: Pointer) -> Any:
    for part in pointer:
        try:
            document = document[part]
        except (KeyError, IndexError, TypeError):
            return None
    return document


RULES = (
    Rule(
        "ZARR-20",
        "Zarr v3, consolidated metadata",
        "Consolidated metadata have the inline form and hold every node below the group and no other",
        check_complete,
    ),
    Rule(
        "ZARR-22",
        "Zarr v3, consolidated metadata",
        "Each consolidated copy equals the node's own document",
        check_equal,
    ),
    Rule("ZARR-21", "derived", "Consolidated metadata of nested groups agree with the nodes' documents", check_nested),
)
