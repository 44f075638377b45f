"""The documents by which readers find a pyramid, and the order in which they change.

In Zarr v3 that is one object, the root `zarr.json`: one put publishes. In Zarr v2 there are three, and readers differ
in which they take:

- GDAL, zarr-python 2 and our own service take everything from `.zmetadata`;
- zarr-python 3 takes the attributes of the root from `.zattrs` and all below it from `.zmetadata`;
- readers that know nothing of consolidated metadata take `.zgroup`, `.zattrs`, and then look around.

The commit is the put of `.zmetadata`; where that has not happened, nothing is published. So that each kind of reader
has a whole pyramid, the former or the new one, whenever a build dies:

1. a former `.zmetadata` is given the nodes of the new pyramid beside its own, so that either `.zattrs` finds its
   levels there;
2. `.zattrs` names the new levels, then `.zgroup` lets a first build be seen by who needs no `.zmetadata`;
3. `.zmetadata` is put, with the new nodes alone.

All data are durable before 1, and each step before the next. What 1 and 2 have done without 3 is taken back
(`settle`) before anything that they name is written over or deleted. What remains is a reader of the second kind that
takes `.zattrs` before 2 and `.zmetadata` after 3, while both are put.

The root of the other version of Zarr goes last. While there are two, `zarr.json` counts, as it does for zarr-python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from geozarr import manifest, zarr_v2
from geozarr import store as store_module
from geozarr.documents import DOCUMENT, consolidated_nodes
from geozarr.errors import MetadataError
from geozarr.store import join
from geozarr.zarr_v2 import ATTRIBUTES, CONSOLIDATED, GROUP

if TYPE_CHECKING:
    from geozarr.stores import Store

Documents = dict[str, dict[str, Any]]


def stored_documents(path: str, document: dict[str, Any]) -> Documents:
    """Return the documents that a node is stored as, by key."""
    if document["zarr_format"] == 3:
        return {join(path, DOCUMENT): document}
    found = zarr_v2.stored_documents(document, node=f"/{path}")
    return {join(path, name): stored for name, stored in found.items()}


def publish(store: Store, root: dict[str, Any]) -> None:
    """Put the root documents of a pyramid whose data are durable; all is durable when this returns.

    Parameters
    ----------
    store : Store
        Where.
    root : dict
        Document of the multiscale group with all others consolidated in it, of Zarr v2 in the form of v3.

    Raises
    ------
    StoreError
        If the store fails.
    """
    if root["zarr_format"] == 3:
        store_module.write_document(store, "", root)
        store.sync()
        if _exists(store, CONSOLIDATED):
            _delete_v2(store)
        return
    nodes = consolidated_nodes(root) or {}
    block = zarr_v2.consolidated_document({"": root, **nodes})
    former = _committed(store)
    if former is not None:
        both = {**block["metadata"], **former["metadata"]}
        _put(store, CONSOLIDATED, {**former, "metadata": both})
        store.sync()
    _put(store, ATTRIBUTES, block["metadata"][ATTRIBUTES])
    store.sync()
    _put(store, GROUP, block["metadata"][GROUP])
    _put(store, CONSOLIDATED, block)
    store.sync()
    if _exists(store, DOCUMENT):
        store.delete(DOCUMENT)
        store.sync()


def settle(store: Store) -> list[str]:
    """Take back what a build has put of root documents that it did not commit; also restores lost ones of Zarr v2.

    What is of another origin is left alone.

    Returns
    -------
    list of str
        Keys of the documents that were put or deleted.

    Raises
    ------
    StoreError
        If the store fails.
    MetadataError
        If the `.zmetadata` is malformed.
    """
    committed = None if _exists(store, DOCUMENT) else _committed(store)
    if committed is None:
        stated = _stored(store, ATTRIBUTES)
        return _delete_v2(store) if stated is not None and manifest.ATTRIBUTE in stated else []
    own = _without_others(committed)
    if manifest.ATTRIBUTE not in own["metadata"][ATTRIBUTES]:
        return []
    wanted = {name: own["metadata"][name] for name in (ATTRIBUTES, GROUP)} | {CONSOLIDATED: own}
    changed = [name for name, document in wanted.items() if _stored(store, name) != document]
    for name in changed:
        _put(store, name, wanted[name])
    return changed


def root_documents(store: Store) -> dict[str, bytes]:
    """Return the root documents of what is published, by key; none where nothing is.

    Raises
    ------
    StoreError, LimitError, MetadataError
        If they cannot be read.
    """
    data = store_module.read_bytes(store, DOCUMENT, most=store_module.MAX_DOCUMENT)
    if data is not None:
        return {DOCUMENT: data}
    committed = _committed(store)
    if committed is None:
        return {}
    own = _without_others(committed)
    found = {name: own["metadata"][name] for name in (GROUP, ATTRIBUTES)} | {CONSOLIDATED: own}
    return {name: store_module.encode_document(document, node=name) for name, document in found.items()}


def attributes_of(documents: dict[str, bytes]) -> dict[str, Any]:
    """Read the attributes of the root from its documents, empty where there are none; `MetadataError` if malformed."""
    name = DOCUMENT if DOCUMENT in documents else ATTRIBUTES
    found = store_module.decode_document(documents.get(name, b"{}"), node="/", key=name)
    attributes = found.get("attributes") if name == DOCUMENT else found
    return attributes if isinstance(attributes, dict) else {}


def node_documents(store: Store) -> Documents:
    """Return the documents of all nodes below the root of what is published, by key, as they are stored.

    Raises
    ------
    StoreError, LimitError, MetadataError
        If the root documents cannot be read.
    """
    committed = None if _exists(store, DOCUMENT) else _committed(store)
    if committed is not None:
        return dict(committed["metadata"])
    nodes = store_module.read_tree(store).nodes
    return {join(path, DOCUMENT): document for path, document in nodes.items() if path}


def _without_others(block: dict[str, Any]) -> dict[str, Any]:
    """Leave the nodes of other builds out of a `.zmetadata`; one that is none of ours stays as it is."""
    entries = block["metadata"]
    try:
        # A level below a folder brings the folder: `ab12cd34/13`.
        own = {str(item["asset"]).partition("/")[0] for item in entries[ATTRIBUTES]["multiscales"]["layout"]}
    except (KeyError, TypeError):
        return block
    kept = {key: entry for key, entry in entries.items() if "/" not in key or key.partition("/")[0] in own}
    return {**block, "metadata": kept}


def _delete_v2(store: Store) -> list[str]:
    """Delete the root documents of Zarr v2: first what shows a pyramid, last what tells that it was ours."""
    for name in (CONSOLIDATED, GROUP):
        store.delete(name)
    store.sync()  # a group must not outlast its attributes
    store.delete(ATTRIBUTES)
    return [CONSOLIDATED, GROUP, ATTRIBUTES]


def _committed(store: Store) -> dict[str, Any] | None:
    """Read the `.zmetadata`; None where there is none.

    Raises
    ------
    MetadataError
        If it is malformed, or lacks the documents of the root.
    """
    data = store_module.read_bytes(store, CONSOLIDATED, most=store_module.MAX_DOCUMENT)
    if data is None:
        return None
    document = store_module.decode_document(data, node="/", key=CONSOLIDATED)
    entries = document.get("metadata")
    if not isinstance(entries, dict) or not all(isinstance(entries.get(name), dict) for name in (ATTRIBUTES, GROUP)):
        expected = "the .zgroup and the .zattrs of the root"
        raise MetadataError("/", CONSOLIDATED, found=type(entries).__name__, expected=expected)
    return document


def _stored(store: Store, name: str) -> dict[str, Any] | None:
    """Read a document; None where it is not there, or cannot be read."""
    data = store_module.read_bytes(store, name, most=store_module.MAX_DOCUMENT)
    try:
        return None if data is None else store_module.decode_document(data, node="/", key=name)
    except MetadataError:
        return None


def _exists(store: Store, name: str) -> bool:
    return store.get(name, length=1) is not None


def _put(store: Store, name: str, document: dict[str, Any]) -> None:
    store.put(name, store_module.encode_document(document, node=name))
