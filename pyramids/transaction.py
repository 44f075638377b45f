"""Targets in which a build becomes visible by one commit.

Such a target needs no names that readers do not see yet, no mark that says whose it is, and has nothing to go on with:
levels lie at their plain names, what is replaced goes in the same commit, and the root document tells whose it was.
"""

from __future__ import annotations

import contextlib
from importlib.metadata import version
from typing import TYPE_CHECKING

from geozarr import documents, manifest
from geozarr import store as store_module
from geozarr.errors import LimitError, MetadataError, TargetExistsError, UnsupportedError
from geozarr.stores import Transaction
from pyramids import metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geozarr.stores import Store
    from pyramids.plan import Plan

TOOL = "geozarr-pyramids"


def require_ours(store: Store) -> None:
    """Refuse a target that holds anything but a pyramid that this tool has committed.

    Raises
    ------
    TargetExistsError
        If it does.
    StoreError
        If the store fails.
    """
    if not store.children() and store_module.read_bytes(store, documents.DOCUMENT) is None:
        return
    found = _foreign(store)
    if found is not None:
        raise TargetExistsError(store.location, found=found, expected="nothing, or a pyramid of this tool")


def require_format(store: Store, plan: Plan) -> None:
    """Refuse a version of Zarr that a store with transactions does not keep.

    Raises
    ------
    UnsupportedError
        If it is another than 3.
    """
    if isinstance(store, Transaction) and plan.zarr_format != 3:
        raise UnsupportedError(f"Zarr v{plan.zarr_format} in {store.location}", "it keeps Zarr v3 alone (zarr_format)")


def _foreign(store: Store) -> str | None:
    """Say what is there that is not ours."""
    try:
        root = store_module.read_document(store)
        nodes = store_module.walk(store)
    except (MetadataError, LimitError) as error:
        return f"a node that cannot be read ({error})"
    attributes = (root or {}).get("attributes")
    if not isinstance(attributes, dict) or manifest.build_without_manifest(attributes) is None:
        return "a Zarr hierarchy of another origin"
    ours = documents.consolidated_nodes(root or {}) or {}
    others = sorted(path for path in nodes if path and path not in ours)
    return f"nodes of another origin, such as {others[0]}" if others else None


def take(store: Store, plan: Plan, name: str, *, overwrite: bool, resume: bool) -> None:
    """Make a target ready for the chunks of a build; nothing is visible of that.

    Parameters
    ----------
    store : Store
        The target, one that `require_ours` lets pass; a `Transaction`.
    plan : Plan
        What to build.
    name : str
        Name of the build.
    overwrite : bool
        A pyramid may be replaced.
    resume : bool
        Is refused: what was not committed is gone.

    Raises
    ------
    UnsupportedError
        If it is to be gone on with.
    TargetExistsError
        If there is a pyramid, and no permission.
    StoreError
        If the store fails.
    """
    if resume:
        reason = "what was not committed is gone, and what was committed is whole: build anew, without it"
        raise UnsupportedError(f"going on with a build (resume) in {store.location}", reason)
    root = store_module.read_document(store)
    if root is not None:
        if not overwrite:
            found = manifest.build_without_manifest(root["attributes"])
            state = "this very pyramid" if found == name else "a pyramid"
            raise TargetExistsError(store.location, found=state, expected="nothing, or permission to overwrite it")
        store.clear()  # type: ignore[attr-defined] # a Transaction
    store_module.write_document(store, "", documents.group_document({}))
    _, nodes = metadata.node_documents(plan, {})
    for path, document in nodes.items():
        store_module.write_document(store, path, document)


def message(plan: Plan, name: str) -> tuple[str, dict[str, str]]:
    """Return what a snapshot says of a build: a line for people, and the same in parts."""
    parts = {"tool": TOOL, "version": version(TOOL), "build": name, "source": plan.source.name}
    return f"{TOOL} {parts['version']}: build {name} from {plan.source.name}", parts


@contextlib.contextmanager
def ended(store: Store) -> Iterator[None]:
    """Have a store with transactions forget, on leaving, what was not committed."""
    try:
        yield
    finally:
        if isinstance(store, Transaction):
            store.end()
