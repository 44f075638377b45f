"""Rules on metadata of OME-NGFF 0.5 that may stand beside a pyramid, and on drafts that are told apart from it.

NGFF's `scale` is the size of a cell in world units and its `translation` the centre of the first cell, where those of
the multiscales convention are ratios and offsets between levels. Along an axis whose world coordinates fall with the
index, writers state the size of the cell and count the other way; the two are compared up to that sign.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance import sites, values
from conformance.report import Depth, Fault, Rule, Severity
from conformance.tree import is_legal_name
from geozarr.store import join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.report import Pointer
    from conformance.tree import Node
    from geozarr.crs import CRS

KEY = "ome"
VERSION = "0.5"
_OME: Pointer = ("attributes", KEY)
_IMAGES: Pointer = (*_OME, "multiscales")
_TRANSFORMS = "coordinateTransformations"
_ORDER = ("time", "channel", "space")
_METRES = {"meter": 1.0, "kilometer": 1000.0, "centimeter": 0.01, "millimeter": 0.001, "foot": 0.3048}
_DEGREES = ("degree", "degrees")
_ACCUMULATION = ("_ACCUMULATION_GROUP", "_ACCUMULATION_STRIDE")


@dataclass(frozen=True)
class Placed:
    """One axis of one level, by both statements.

    Parameters
    ----------
    pointer : Pointer
        The transforms of the level in NGFF.
    name : str
        Of the axis.
    scale, translation : float
        As NGFF has them, in units of the CRS.
    cell, centre : float
        Signed size of a cell and centre of the first one, as the transform of the level has them.
    """

    pointer: Pointer
    name: str
    scale: float
    translation: float
    cell: float
    centre: float

    @property
    def offset(self) -> float:
        """How far NGFF's world lies from the CRS along the axis; one and the same for all levels of an image."""
        return math.copysign(1.0, self.cell * self.scale) * self.translation - self.centre


def check_structure(context: Context) -> Iterator[Fault]:
    """Find metadata of OME-NGFF 0.5 that are not of its form."""
    for node in context.tree.nodes.values():
        found = node.attributes.get(KEY, {})
        if not isinstance(found, dict):
            yield Fault(node.path, _OME, "ome is no object", found, "an object with a version")
        elif "multiscales" in found and not isinstance(found.get("version"), str):
            version = (*_OME, "version")
            yield Fault(node.path, version, "the version of OME-NGFF is not stated", found.get("version"), VERSION)
        elif "multiscales" in found and found["version"] == VERSION:
            yield from _check_images(context, node, found["multiscales"])


def check_agreement(context: Context) -> Iterator[Fault]:
    """Find images of OME-NGFF that place a level elsewhere than its transform does."""
    for node in context.tree.groups:
        for index, image in enumerate(_images(context, node)):
            by_axis: dict[str, list[Placed]] = {}
            for placed in _placed(context, node, index, image):
                by_axis.setdefault(placed.name, []).append(placed)
            for levels in by_axis.values():
                yield from _compare(node, levels)


def check_other_versions(context: Context) -> Iterator[Fault]:
    """Recognise other versions of OME-NGFF."""
    for node in context.tree.nodes.values():
        found = node.attributes.get(KEY)
        version = found.get("version") if isinstance(found, dict) else None
        if isinstance(version, str) and version != VERSION:
            message = "metadata of another version of OME-NGFF, which are not judged"
            yield Fault(node.path, (*_OME, "version"), message, version, VERSION)


def check_accumulation(context: Context) -> Iterator[Fault]:
    """Recognise accumulation groups, the outermost of each."""
    for node in context.tree.nodes.values():
        found = next((key for key in _ACCUMULATION if key in node.attributes), None)
        above = context.tree.ancestors(node.path)
        if found is not None and not any(key in group.attributes for group in above for key in _ACCUMULATION):
            message = "sums of the draft ZEP 5 on accumulation, which are not judged"
            yield Fault(node.path, ("attributes", found), message, node.attributes[found], "", keeps=True)


def _check_images(context: Context, node: Node, images: Any) -> Iterator[Fault]:
    if not isinstance(images, list) or not images:
        yield Fault(node.path, _IMAGES, "there is no image", images, "an array of at least one image")
        return
    for index, image in enumerate(images):
        pointer = (*_IMAGES, index)
        if not isinstance(image, dict):
            yield Fault(node.path, pointer, "an image is no object", image, "an object with axes and datasets")
            continue
        problem = _problem_of_axes(image.get("axes"))
        if problem:
            expected = "2 to 5 named axes: time, channel, then 2 or 3 of space"
            yield Fault(node.path, (*pointer, "axes"), problem, image.get("axes"), expected)
            continue
        names = tuple(axis["name"] for axis in image["axes"])
        if _TRANSFORMS in image and _transforms(image[_TRANSFORMS], len(names)) is None:
            yield _malformed(node, (*pointer, _TRANSFORMS), image[_TRANSFORMS], len(names))
        yield from _check_datasets(context, node, pointer, image, names)


def _check_datasets(
    context: Context, node: Node, pointer: Pointer, image: dict[str, Any], names: tuple[str, ...]
) -> Iterator[Fault]:
    datasets = image.get("datasets")
    if not isinstance(datasets, list) or not datasets:
        yield Fault(node.path, (*pointer, "datasets"), "there are no datasets", datasets, "one for each level")
        return
    sizes: list[tuple[float, ...]] = []
    for index, item in enumerate(datasets):
        place = (*pointer, "datasets", index)
        if not isinstance(item, dict):
            yield Fault(node.path, place, "a dataset is no object", item, f"an object with path and {_TRANSFORMS}")
            continue
        array = _array(context, node, item.get("path"))
        if array is None:
            yield Fault(
                node.path, (*place, "path"), "the dataset is no array", item.get("path"), "the path of an array"
            )
        elif (found := context.dimension_names(array)) is not None and found != names:
            message = "the array has other axes than the image"
            relies = ((array.path, ("dimension_names",)),)
            yield Fault(node.path, (*pointer, "axes"), message, list(names), f"{list(found)}", relies=relies)
        transforms = _transforms(item.get(_TRANSFORMS), len(names))
        if transforms is None:
            yield _malformed(node, (*place, _TRANSFORMS), item.get(_TRANSFORMS), len(names))
        else:
            sizes.append(tuple(map(abs, transforms[0])))
    if any(any(b < a for a, b in zip(fine, coarse, strict=True)) for fine, coarse in itertools.pairwise(sizes)):
        message = "datasets do not go from fine to coarse"
        found_sizes = [list(size) for size in sizes]
        yield Fault(node.path, (*pointer, "datasets"), message, found_sizes, "ascending scales", keeps=True)


def _problem_of_axes(axes: Any) -> str:
    """Say what is wrong with the axes of an image; "" where they are those of 0.5."""
    if not isinstance(axes, list) or not 2 <= len(axes) <= 5:
        return "an image has 2 to 5 axes"
    if not all(isinstance(axis, dict) and isinstance(axis.get("name"), str) for axis in axes):
        return "an axis has no name"
    if len({axis["name"] for axis in axes}) < len(axes):
        return "two axes have one name"
    # An axis of another type, or of none, stands where a channel would.
    kinds = [_ORDER.index(axis["type"]) if axis.get("type") in _ORDER else 1 for axis in axes]
    if kinds.count(2) not in (2, 3):
        return "an image has 2 or 3 axes of space"
    return "the axes are out of order" if kinds != sorted(kinds) or kinds.count(0) > 1 or kinds.count(1) > 1 else ""


def _transforms(value: Any, rank: int) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Read a scale, and a translation that may follow it; None where there is anything else."""
    if not isinstance(value, list) or not 1 <= len(value) <= 2 or not all(isinstance(item, dict) for item in value):
        return None
    if [item.get("type") for item in value] != ["scale", "translation"][: len(value)]:
        return None
    scale = values.numbers(value[0].get("scale"), count=rank)
    last = value[1].get("translation") if len(value) == 2 else [0.0] * rank
    translation = values.numbers(last, count=rank)
    return None if scale is None or translation is None or 0 in scale else (scale, translation)


def _malformed(node: Node, pointer: Pointer, found: Any, rank: int) -> Fault:
    expected = f"a scale of {rank} numbers, then at most a translation of as many"
    return Fault(node.path, pointer, "the transforms are malformed", found, expected)


def _images(context: Context, node: Node) -> list[dict[str, Any]]:
    """Images of a group of version 0.5, where nothing in them has been reported."""
    found = node.attributes.get(KEY)
    if not isinstance(found, dict) or found.get("version") != VERSION or context.is_void(node.path, *_OME):
        return []
    images = found.get("multiscales")
    return [image for image in images if isinstance(image, dict)] if isinstance(images, list) else []


def _placed(context: Context, node: Node, index: int, image: dict[str, Any]) -> Iterator[Placed]:
    """Pair the two statements of each horizontal axis of each level."""
    by_array = {array.path: site for site in sites.sites(context) for array in site.rasters}
    names = [axis["name"] for axis in image["axes"]]
    whole = _transforms(image.get(_TRANSFORMS), len(names)) or ((1.0,) * len(names), (0.0,) * len(names))
    for number, item in enumerate(image["datasets"]):
        array, own = _array(context, node, item.get("path")), _transforms(item.get(_TRANSFORMS), len(names))
        site = by_array.get(array.path) if array is not None else None
        consensus = sites.transform(context, site) if site is not None else None
        if array is None or site is None or own is None or consensus is None or site.dimensions is None:
            continue
        a, b, c, d, e, f = consensus.value
        if b or d:
            continue  # a scale cannot turn
        half = 0.0 if context.registration(array) == "node" else 0.5
        for name, cell, corner in ((site.dimensions[0], e, f), (site.dimensions[1], a, c)):
            axis = names.index(name) if name in names else None
            unit = _unit(image["axes"][axis], sites.crs(context, site)) if axis is not None else None
            if axis is None or unit is None:
                continue
            scale, translation = whole[0][axis] * own[0][axis], whole[0][axis] * own[1][axis] + whole[1][axis]
            pointer = (*_IMAGES, index, "datasets", number, _TRANSFORMS)
            yield Placed(pointer, name, scale * unit, translation * unit, cell, corner + half * cell)


def _compare(node: Node, levels: list[Placed]) -> Iterator[Fault]:
    """Hold the levels of one axis against their transforms: sizes first, then places."""
    for level in levels:
        if not math.isclose(abs(level.scale), abs(level.cell), rel_tol=sites.CELLS):
            message = f"the scale along {level.name!r} is not the size of a cell"
            yield Fault(node.path, level.pointer, message, level.scale, f"{abs(level.cell):.12g}")
            return
    first = levels[0]
    # NGFF's world is the CRS, or begins at the centre of the first cell; a level that differs from the rest is wrong.
    known = [0.0, -first.centre]
    for level in levels:
        if not any(sites.is_near(level.offset, offset, abs(first.cell)) for offset in known):
            message = f"the translation along {level.name!r} is not the centre of the first cell"
            yield Fault(node.path, level.pointer, message, level.translation, f"{level.centre:.12g}")
            return
    if not all(sites.is_near(level.offset, first.offset, abs(first.cell)) for level in levels):
        message = f"the levels are not in one place along {first.name!r}"
        yield Fault(node.path, levels[-1].pointer, message, [level.translation for level in levels], "centres of cells")


def _array(context: Context, node: Node, path: Any) -> Node | None:
    if not isinstance(path, str) or not all(map(is_legal_name, path.split("/"))):
        return None
    found = context.tree.nodes.get(join(node.path, path))
    return found if found is not None and found.is_known and found.is_array else None


def _unit(axis: dict[str, Any], crs: CRS | None) -> float | None:
    """Units of the CRS in one of an axis; None where that cannot be told."""
    stated = axis.get("unit")
    if stated is None:
        return 1.0
    if crs is None or not isinstance(stated, str):
        return None
    if crs.is_geographic:
        return 1.0 if stated in _DEGREES else None
    return _METRES[stated] / crs.metres_per_unit if stated in _METRES else None


RULES = (
    Rule(
        "NG-01",
        "OME-NGFF 0.5",
        "An image has axes, and datasets with a scale each, from fine to coarse",
        check_structure,
    ),
    Rule(
        "NG-03",
        "OME-NGFF, other versions",
        "Other versions of OME-NGFF are told apart",
        check_other_versions,
        Severity.INFO,
    ),
    Rule("AC-01", "ZEP 5, draft", "Accumulation groups are told apart", check_accumulation, Severity.INFO),
)
LAST_RULES = (
    Rule(
        "NG-02",
        "derived; OME-NGFF 0.5",
        "A scale is the size of a cell, a translation the centre of the first one",
        check_agreement,
        depth=Depth.GEOMETRY,
    ),
)
