"""What a rule is given: the tree, typed access to what it says, and what has been reported already.

One fault must make one finding, though most facts of a pyramid are written down several times and a rule that
compares two of them cannot know which is wrong. Three things see to that:

- Rules run in a fixed order: first how documents are written, then what single values look like, then what several
  values say together.
- A finding voids the value it names. Access through `Context` gives None for a void value, so that the rules after it
  go on without; and a fault whose value, or one it relies on, is void is dropped.
- Where a fact is stated often, the majority stands for it and the odd statement is blamed (`sites.py`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

from conformance import references, values
from conformance.layouts import Form, Pyramid, find, is_draft
from geozarr.conventions import proj, registration, spatial
from geozarr.conventions.registration import MULTISCALES, PROJ, SPATIAL, Convention

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy as np

    from conformance.report import Depth, Fault, Pointer
    from conformance.tree import Node, Tree
    from geozarr.crs import CRS
    from geozarr.store import Store

    T = TypeVar("T")


_MOST_TOLD = 300  # characters of a uuid or URL that are looked at


@dataclass(frozen=True)
class Registered:
    """Which conventions a node registers; `is_doubtful` where an entry cannot be told."""

    conventions: frozenset[Convention]
    is_doubtful: bool


@dataclass(frozen=True)
class Sample:
    """Which pixels are looked at: all of them, or those that a lot with this seed draws."""

    seed: int = 0
    is_all: bool = False


class Context:
    """One store under check.

    Parameters
    ----------
    tree : Tree
        Its documents.
    store : Store
        For the few rules that read coordinate values.
    depth : Depth
        How far the check goes.
    sample : Sample
        Which pixels are looked at.

    Attributes
    ----------
    counts : Counter of str
        What has been looked at beside documents: `cells` derived anew, `ties` among them.
    """

    def __init__(self, tree: Tree, store: Store, depth: Depth, sample: Sample | None = None) -> None:
        self.tree = tree
        self.store = store
        self.depth = depth
        self.sample = sample or Sample()
        self.counts: Counter[str] = Counter()
        self._void: dict[str, list[Pointer]] = {}
        self._rules: dict[str, set[str]] = {}
        self._memo: dict[tuple[str, str], Any] = {}

    # What has been reported

    def note(self, rule: str, node: str) -> None:
        """Remember that a rule has a finding at a node."""
        self._rules.setdefault(node, set()).add(rule)

    def has_findings(self, node: str, *prefixes: str) -> bool:
        """Tell whether a rule whose id begins so has a finding at a node."""
        return any(rule.startswith(prefixes) for rule in self._rules.get(node, ()))

    def void(self, node: str, pointer: Pointer) -> None:
        """Take a value out of all further judgement."""
        self._void.setdefault(node, []).append(pointer)
        self._memo.clear()

    def is_void(self, node: str, *pointer: str | int) -> bool:
        """Tell whether a value, a part of it or what holds it has been reported."""
        voids = self._void.get(node)
        return voids is not None and any(void[: len(pointer)] == pointer[: len(void)] for void in voids)

    def _is_void_above(self, node: str, pointer: Pointer) -> bool:
        """Tell whether a value as a whole, or what holds it, has been reported."""
        return any(pointer[: len(void)] == void for void in self._void.get(node, ()))

    def is_moot(self, fault: Fault) -> bool:
        """Tell whether a fault follows from one that has been reported."""
        is_void = self._is_void_above(fault.node, ()) if fault.is_of_cells else self.is_void(fault.node, *fault.pointer)
        return is_void or any(self.is_void(node, *pointer) for node, pointer in fault.relies)

    # Typed access

    def member(self, node: Node, key: str, parse: Callable[[Any], T | None]) -> T | None:
        """Read a top-level member of a document; None where it is absent, malformed or void."""
        value = node.document.get(key)
        return None if value is None or self.is_void(node.path, key) else parse(value)

    def attribute(self, node: Node, key: str, parse: Callable[[Any], T | None]) -> T | None:
        """Read an attribute; None where it is absent, malformed or void."""
        value = node.attributes.get(key)
        return None if value is None or self.is_void(node.path, "attributes", key) else parse(value)

    def effective(self, array: Node, key: str, parse: Callable[[Any], T | None]) -> T | None:
        """Read an attribute of an array, or of the group that holds it: one step, no further (SP-13, PJ-09)."""
        if key in array.attributes:
            return self.attribute(array, key, parse)
        parent = self.tree.nodes.get(array.parent) if array.path else None
        return self.attribute(parent, key, parse) if parent is not None else None

    def once(self, what: str, path: str, compute: Callable[[], T]) -> T:
        """Work something out once, until the next value becomes void."""
        key = (what, path)
        if key not in self._memo:
            self._memo[key] = compute()
        found: T = self._memo[key]
        return found

    def shape(self, array: Node) -> tuple[int, ...] | None:
        """Sizes of an array."""
        return self.once("shape", array.path, lambda: self.member(array, "shape", values.wholes))

    def dimension_names(self, array: Node) -> tuple[str | None, ...] | None:
        """Names of an array's axes, as many as it has."""
        names = self.member(array, "dimension_names", values.dimension_names)
        shape = self.shape(array)
        return names if names is not None and shape is not None and len(names) == len(shape) else None

    def sizes(self, array: Node) -> dict[str, int]:
        """Sizes of an array by the names of its axes; unnamed axes are left out."""
        return self.once("sizes", array.path, lambda: self._read_sizes(array))

    def _read_sizes(self, array: Node) -> dict[str, int]:
        names, shape = self.dimension_names(array), self.shape(array)
        if names is None or shape is None:
            return {}
        return {name: size for name, size in zip(names, shape, strict=True) if name is not None}

    def spatial_dimensions(self, array: Node) -> tuple[str, str] | None:
        """Names of the row and the column axis of an array, where it has both."""
        return self.once("dimensions", array.path, lambda: self._read_dimensions(array))

    def _read_dimensions(self, array: Node) -> tuple[str, str] | None:
        dimensions = self.effective(array, spatial.DIMENSIONS, values.dimensions)
        sizes = self.sizes(array)
        return dimensions if dimensions is not None and all(name in sizes for name in dimensions) else None

    def missing(self, array: Node, dtype: np.dtype[Any]) -> Any:
        """Read which stored value means "no data": `_FillValue`, else of Zarr v2 `fill_value` (ZARR-12)."""
        stated = self.attribute(
            array, "_FillValue", lambda value: values.missing_value(value, dtype, version=array.version)
        )
        if stated is None and array.version == 2 and "_FillValue" not in array.attributes:
            return self.member(array, "fill_value", lambda value: values.fill_value(value, dtype))
        return stated

    def registration(self, node: Node) -> str:
        """Effective `spatial:registration`, pixel where nothing is said (SP-11)."""
        return self.effective(node, spatial.REGISTRATION, values.text) or "pixel"

    # Conventions

    def registered(self, node: Node) -> Registered:
        """Which of the three conventions a node registers by itself."""
        return self.once("registered", node.path, lambda: self._read_registered(node))

    def _read_registered(self, node: Node) -> Registered:
        entries = node.attributes.get(registration.KEY, [])
        if not isinstance(entries, list) or self._is_void_above(node.path, ("attributes", registration.KEY)):
            return Registered(frozenset(), is_doubtful=True)
        meant = [claims(entry) for entry in entries]
        doubtful = any(not known and not _is_identified(entry) for known, entry in zip(meant, entries, strict=True))
        return Registered(frozenset().union(*meant), doubtful)

    def uses(self, node: Node) -> frozenset[Convention]:
        """Conventions of which a node has keys, registered or not."""
        return self.once("uses", node.path, lambda: self._read_uses(node))

    def claims_multiscales(self, node: Node) -> bool:
        """Tell whether a node registers multiscales v0.1, be it well or badly."""
        entries = node.attributes.get(registration.KEY)
        return isinstance(entries, list) and any(MULTISCALES in claims(entry) for entry in entries)

    def _read_uses(self, node: Node) -> frozenset[Convention]:
        attributes = node.attributes
        layout = attributes.get("multiscales")
        present = (
            (MULTISCALES, isinstance(layout, dict) and "layout" in layout and not is_draft(attributes)),
            (PROJ, any(key in attributes for key in proj.KEYS)),
            (SPATIAL, any(key in attributes for key in spatial.KEYS)),
        )
        return frozenset(convention for convention, is_present in present if is_present)

    # Pyramids and CRS

    @cached_property
    def pyramids(self) -> tuple[Pyramid, ...]:
        """All multiscale groups of the tree, in whatever form they list their levels."""
        return find(self.tree)

    @cached_property
    def layouts(self) -> tuple[Pyramid, ...]:
        """Those with a layout as multiscales v0.1 has it."""
        return tuple(pyramid for pyramid in self.pyramids if pyramid.form is Form.LAYOUT)

    def own_crs(self, node: Node) -> CRS | None:
        """CRS that a node states by itself, `proj:wkt2` first (PJ-08); None where it has none that can be used."""
        return self._first_crs(
            self.attribute(node, "proj:wkt2", _wkt),
            self.attribute(node, "proj:code", _code),
            self.attribute(node, "proj:projjson", references.from_projjson),
        )

    def effective_crs(self, array: Node) -> CRS | None:
        """CRS of an array: its own keys, or those of the group that holds it."""
        if any(key in array.attributes for key in proj.KEYS) or not array.path:
            return self.own_crs(array)
        parent = self.tree.nodes.get(array.parent)
        return self.own_crs(parent) if parent is not None else None

    @staticmethod
    def _first_crs(*candidates: CRS | None) -> CRS | None:
        return next((crs for crs in candidates if crs is not None), None)

    def rasters(self, arrays: Iterable[Node]) -> list[Node]:
        """Those of some arrays that have both spatial axes; without any `spatial:dimensions`, those of two or more."""
        found = []
        for array in arrays:
            stated = self.effective(array, spatial.DIMENSIONS, values.dimensions)
            shape = self.shape(array)
            if self.spatial_dimensions(array) or (stated is None and shape is not None and len(shape) >= 2):
                found.append(array)
        return found


def claims(entry: Any) -> frozenset[Convention]:
    """Find every known convention that a convention metadata object means, by its uuid or either of its URLs."""
    if not isinstance(entry, dict):
        return frozenset()
    uuid, *urls = (
        value if isinstance(value, str) else "" for value in map(entry.get, ("uuid", "schema_url", "spec_url"))
    )
    # All beginnings of URLs that mean something are shorter.
    return _claimed(uuid[:_MOST_TOLD].strip().lower(), *(url[:_MOST_TOLD] for url in urls))


@lru_cache(maxsize=1024)
def _claimed(uuid: str, *urls: str) -> frozenset[Convention]:
    """Find conventions; the nodes of a pyramid mostly register the same."""
    return frozenset(
        known for known in registration.KNOWN if known.uuid == uuid or any(known.owns_url(url) for url in urls)
    )


def _is_identified(entry: Any) -> bool:
    """Tell whether an entry names another convention in a way that cannot be a slip: then it is none of ours."""
    if not isinstance(entry, dict):
        return False
    uuid = entry.get("uuid")
    urls = (entry.get("schema_url"), entry.get("spec_url"))
    return (isinstance(uuid, str) and len(uuid) == 36) or any(isinstance(url, str) and "://" in url for url in urls)


def _wkt(value: Any) -> CRS | None:
    return references.from_wkt(value) if isinstance(value, str) else None


def _code(value: Any) -> CRS | None:
    return references.from_code(value) if isinstance(value, str) else None
