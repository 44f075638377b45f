"""What a build may do with its target: begin, go on, mend, replace, or nothing.

A target is ours where `.build` holds the plan of a build. Nothing of another origin is ever touched, and what is ours
only with permission. A pyramid that readers see is never written over: one that replaces it puts its levels below a
folder with the name of the build, and the root document switches from one to the other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geozarr import manifest
from geozarr import store as store_module
from geozarr.errors import PlanChangedError, SourceChangedError, TargetExistsError
from geozarr.manifest import BUILDS, PLAN
from geozarr.store import join
from geozarr.stores import Transaction
from pyramids import lease, publish, roots, transaction
from pyramids import plan as plan_module
from pyramids.plan import HOW

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geozarr.stores import Store
    from pyramids.plan import Plan


class State(StrEnum):
    """How far a build has come."""

    NEW = "new"
    BEGUN = "begun"
    PUBLISHED = "published"


@dataclass(frozen=True)
class Claim:
    """A target as a build finds it.

    Parameters
    ----------
    name : str
        Name of the build.
    plan : Plan
        What is built, with its levels where they go.
    state : State
        How far that has come.
    """

    name: str
    plan: Plan
    state: State

    @property
    def folder(self) -> str:
        """Folder of the build's own objects."""
        return publish.build_folder(self.name)


@dataclass(frozen=True)
class _Found:
    """What a target holds.

    Parameters
    ----------
    has_root : bool
        True where there is a root document.
    current : str or None
        Name of the build that readers see.
    folder : str
        Folder below which the levels lie that readers see.
    begun : dict
        Plans of all builds by name, as they were left there.
    """

    has_root: bool
    current: str | None
    folder: str
    begun: dict[str, dict[str, Any]]


def look(store: Store) -> _Found:
    """Read what a target holds.

    Raises
    ------
    StoreError
        If the store fails.
    MetadataError
        If a document of ours is malformed.
    """
    root = store_module.read_root(store)
    attributes = (root or {}).get("attributes")
    reference = manifest.reference_of(attributes) if isinstance(attributes, dict) else None
    begun = {}
    for name in store.children(BUILDS):
        document = manifest.plan_of(store, name)
        if document is not None:
            begun[name] = document
    return _Found(root is not None, reference.build if reference else None, _folder_of(attributes), begun)


def _folder_of(attributes: Any) -> str:
    """Tell below which folder the levels of a pyramid lie."""
    try:
        return str(attributes["multiscales"]["layout"][0]["asset"]).rpartition("/")[0]
    except (KeyError, TypeError, IndexError):
        return ""


def require_ours(store: Store) -> None:
    """Refuse a target that holds anything but what this tool has written; nothing is written for that.

    Raises
    ------
    TargetExistsError
        If it does.
    StoreError
        If the store fails.
    """
    if store.children(BUILDS):
        return
    if isinstance(store, Transaction):
        transaction.require_ours(store)
        return
    first = next((item.key for item in store.listed() if not item.key.startswith(f"{BUILDS}/")), None)
    if first is not None:
        found = f"objects of another origin, such as {first}"
        raise TargetExistsError(store.location, found=found, expected="nothing")


def claim(store: Store, plan: Plan, *, overwrite: bool, resume: bool, files: Sequence[str] = ()) -> Claim:
    """Decide what a build does with a target whose lease it holds, and leave its plan there.

    Parameters
    ----------
    store : Store
        The target.
    plan : Plan
        What to build.
    overwrite : bool
        Another pyramid, or what is left of another build, may be replaced.
    resume : bool
        What is left of this build may be gone on with, and its pyramid mended.
    files : sequence of str
        What the source is read from, where that is more than its name says.

    Raises
    ------
    TargetExistsError
        If there is something, and no permission, or the source lies there.
    PlanChangedError
        If only going on is allowed, and what was begun is something else; the first field that differs is named.
    SourceChangedError
        If so, and it is the source that differs.
    UnsupportedError
        If going on is asked for, and the target keeps nothing that is not committed.
    StoreError
        If the store fails.
    """
    name = publish.build_name(plan)
    if isinstance(store, Transaction):
        transaction.take(store, plan, name, overwrite=overwrite, resume=resume)
        return Claim(name, plan, State.NEW)
    found = look(store)
    if found.begun:
        lease.sweep(store)
    folder = name[:8] if found.has_root else ""
    is_known = name in found.begun and (resume or overwrite)
    if is_known:
        folder = str(found.begun[name].get("folder", folder))
        if found.current == name:
            return Claim(name, publish.placed(plan, found.folder), State.PUBLISHED)
    if is_known and resume:
        if not found.begun[name]:
            publish.forget_work(store, name)  # nobody knows in which blocks it was done
        plan = _as_begun(plan, found.begun[name])
        _leave_plan(store, plan, name, folder)
        return Claim(name, publish.placed(plan, folder), State.BEGUN)
    if found.has_root or found.begun:
        if not overwrite:
            _refuse(store, plan, found, resume=resume)
        if any(_holds(store, name) for name in (plan.source.name, *files)):
            raise TargetExistsError(store.location, found="the source of this build", expected="another place")
        roots.settle(store)
    if not found.has_root:
        # Nobody sees these: they make room.
        _clear(store, found.begun)
    elif found.current is None:
        raise TargetExistsError(store.location, found="a pyramid without its build", expected="one of this tool")
    # The plan stays until it is written over: it tells whose the levels are that this build has left before.
    own = publish.build_folder(name)
    publish.delete_below(store, own, spare=join(own, PLAN))
    _leave_plan(store, plan, name, folder)
    return Claim(name, publish.placed(plan, folder), State.NEW)


def _as_begun(plan: Plan, document: dict[str, Any]) -> Plan:
    """Walk in the blocks of the plan that was begun: the units of work of its journal are made of them.

    Raises
    ------
    PlanChangedError
        If they do not fit the memory that is given now.
    """
    if not document:
        return plan
    begun = plan_module.from_document({key: value for key, value in document.items() if key != "folder"})
    if (begun.block, begun.together) == (plan.block, plan.together):
        return plan
    if begun.peak > plan.memory:
        raise PlanChangedError("memory", before=begun.memory, now=plan.memory)
    workers = min(plan.workers, begun.workers)  # so many fit for certain
    return replace(begun, source=plan.source, memory=plan.memory, workers=workers, processes=plan.processes)


def _leave_plan(store: Store, plan: Plan, name: str, folder: str) -> None:
    document = {"folder": folder, **plan.to_document()}
    store.put(join(publish.build_folder(name), PLAN), store_module.encode_document(document))


def _refuse(store: Store, plan: Plan, found: _Found, *, resume: bool) -> None:
    unfinished = [name for name in found.begun if name != found.current]
    if resume:
        latest = unfinished[-1] if unfinished else found.current
        if latest in found.begun:
            raise _difference(plan, found.begun[latest])
    if publish.build_name(plan) == found.current:
        expected = "nothing, or permission to mend it (resume)"
        raise TargetExistsError(store.location, found="this very pyramid, published", expected=expected)
    state = "a pyramid" if found.has_root else "an unfinished build"
    expected = "nothing, or permission to overwrite it" + ("" if found.has_root else " or to resume")
    raise TargetExistsError(store.location, found=state, expected=expected)


def _difference(plan: Plan, begun: dict[str, Any]) -> PlanChangedError | SourceChangedError:
    """Tell how a plan differs from one that was begun."""
    now = plan.to_document()
    before = {key: value for key, value in begun.items() if key in now}
    if before.get("source") != now["source"]:
        was = before.get("source", {})
        if was.get("name") == now["source"]["name"] and was.get("fingerprint") != now["source"]["fingerprint"]:
            return SourceChangedError(
                now["source"]["name"], before=str(was.get("fingerprint")), now=now["source"]["fingerprint"]
            )
    for field, one, two in _differences(before, now, ""):
        if field.partition(".")[0] not in HOW:
            return PlanChangedError(field, before=one, now=two)
    return PlanChangedError("plan", before="another one", now="this one")


def _differences(before: Any, now: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """List the leaves in which two documents differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in (*now, *(key for key in before if key not in now)):
            inner = f"{path}.{key}" if path else str(key)
            yield from _differences(before.get(key), now.get(key), inner)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (one, two) in enumerate(zip(before, now, strict=True)):
            yield from _differences(one, two, f"{path}[{number}]")
    elif before != now:
        yield path, before, now


def _holds(store: Store, source: str) -> bool:
    """Tell whether a source lies in the folder of a target: it would go when what is replaced is cleaned up."""
    folder = getattr(store, "folder", None)
    if folder is None or not Path(source).exists():
        return False
    return Path(source).resolve().is_relative_to(Path(folder).resolve())


def _clear(store: Store, begun: dict[str, dict[str, Any]]) -> None:
    """Delete all that unfinished builds have left in a target that nobody reads.

    Raises
    ------
    TargetExistsError
        If there is anything that none of their plans speaks of; nothing is deleted then.
    """
    ours = {f"{group}/" for document in begun.values() for group in manifest.groups_of(document)} | {f"{BUILDS}/"}
    keys = [item.key for item in store.listed()]
    for key in keys:
        if not any(key.startswith(prefix) for prefix in ours):
            found = f"objects of another origin, such as {key}"
            raise TargetExistsError(store.location, found=found, expected="nothing but what builds have left")
    # A mark stays last, so that a target is ours as long as anything is left.
    marks = [join(publish.build_folder(name), PLAN) for name in sorted(begun)]
    kept = f"{lease.FOLDER}/"
    publish.delete_in_order(store, [key for key in keys if not key.startswith(kept)], last=marks)
