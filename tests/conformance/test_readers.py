"""What other readers do with a store is told from its documents: each condition where it holds and where not."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import obstore
import pytest
from obstore.store import MemoryStore

from conformance import check, reading
from conformance.context import Context
from conformance.readers import READERS, Loss, Outcome, predict, report_readers, rules, to_json, to_text
from conformance.readers import subject as subjects
from conformance.report import Depth, Severity
from geozarr import store as geozarr_store
from interop import cases

if TYPE_CHECKING:
    from conformance.readers import Condition, Verdict
    from conftest import Stored

CONDITIONS = [(name, index) for name, reader in READERS.items() for index in range(len(reader.conditions))]
STRANGE = [None, 10**400, "\ud800", [], [None], {"a": 1}]


def stored(objects: dict[str, bytes]) -> MemoryStore:
    store = MemoryStore()
    for key, data in objects.items():
        obstore.put(store, key, data)
    return store


def context_of(store: MemoryStore) -> Context:
    opened = geozarr_store.open_store(store)
    return Context(reading.read(opened), opened, Depth.METADATA)


@pytest.fixture(scope="module")
def contexts() -> dict[str, Context]:
    return {case.name: context_of(stored(case.objects)) for case in cases.everything()}


def holds(condition: Condition, context: Context) -> bool:
    """Tell whether a condition finds something in any variable of a store."""
    return any(next(condition.check(context, found), None) is not None for found in subjects.find(context))


def verdict(context: Context, reader: str) -> Verdict:
    """Verdict on the one variable of a store of `interop.cases`, found among auxiliary arrays."""
    return next(found for found in predict(context, READERS[reader]) if found.subject.endswith(f"/{cases.SPOT}"))


@pytest.mark.parametrize(("reader", "index"), CONDITIONS)
def test_each_condition_has_a_store_that_meets_it_and_one_that_does_not(
    contexts: dict[str, Context], reader: str, index: int
) -> None:
    condition = READERS[reader].conditions[index]
    unmet = [name for name, context in contexts.items() if holds(condition, context)]
    assert 0 < len(unmet) < len(contexts)


@pytest.mark.parametrize("reader", [name for name in READERS if name != "zarr-layer"])
def test_a_good_plain_pyramid_opens_everywhere(contexts: dict[str, Context], reader: str) -> None:
    for crs in cases.CRS:
        for data in cases.DATA:
            found = verdict(contexts[f"{crs}-{data}-plain-root-consolidated"], reader)
            assert found.outcome is Outcome.OPENS, (found.subject, found.reasons)
            assert not found.codecs


def test_shards_are_beyond_gdal_3_12_alone(contexts: dict[str, Context]) -> None:
    context = contexts["mercator-float32-nan-sharded-nested-consolidated"]
    failing = {name: verdict(context, name) for name in READERS if verdict(context, name).outcome is not Outcome.OPENS}
    assert list(failing) == ["GDAL 3.12"]
    assert failing["GDAL 3.12"].rules == ("ZARR-09",)
    assert "sharding_indexed" in failing["GDAL 3.12"].codecs


def test_zarr_layer_needs_the_crs_told_by_the_page(contexts: dict[str, Context]) -> None:
    utm, mercator = (contexts[f"{crs}-uint16-0-plain-root-consolidated"] for crs in ("utm", "mercator"))
    assert verdict(utm, "zarr-layer").outcome is Outcome.FAILS
    assert verdict(utm, "zarr-layer with proj4").outcome is Outcome.OPENS
    assert verdict(mercator, "zarr-layer").outcome is Outcome.OPENS


@pytest.mark.parametrize(
    ("case", "reader", "outcome", "rule", "losses"),
    [
        ("1-aux-array", "GDAL 3.13", Outcome.FAILS, "SP-03", ()),
        ("2-explicit-pixel", "GDAL 3.13", Outcome.DEGRADES, "RD-01", (Loss.LEVELS,)),
        ("3-plain-fillvalue", "xarray", Outcome.FAILS, "ZARR-13", ()),
        ("4-order", "GDAL 3.13", Outcome.DEGRADES, "RD-01", (Loss.CRS,)),
        ("5-indivisible", "OpenLayers", Outcome.DEGRADES, "XC-05", (Loss.ALIGNMENT,)),
        ("6-south-up", "OpenLayers", Outcome.FAILS, "SP-07", ()),
        ("7-tms-name", "OpenLayers", Outcome.FAILS, "GZ-20", ()),
        ("8-bare-levels", "xpublish-tiles", Outcome.FAILS, "RD-07", ()),
        ("9-coarse-first", "rio-tiler", Outcome.FAILS, "MS-20", ()),
        ("10-entry-without-uuid", "rio-tiler", Outcome.FAILS, "RD-05", ()),
    ],
)
def test_the_ten_regressions(
    contexts: dict[str, Context], case: str, reader: str, outcome: Outcome, rule: str, losses: tuple[Loss, ...]
) -> None:
    found = verdict(contexts[case], reader)
    assert (found.outcome, found.rules[0], found.losses) == (outcome, rule, losses)
    assert found.reasons[0].fault.message


def test_what_a_reader_never_has_is_told_apart(contexts: dict[str, Context]) -> None:
    good, packed = contexts["utm-uint16-0-plain-root-consolidated"], contexts["packed"]
    assert verdict(good, "rioxarray").lacks == (Loss.LEVELS,)
    assert verdict(good, "rio-tiler").lacks == ()
    assert verdict(packed, "rio-tiler").lacks == (Loss.PACKING,)
    assert verdict(packed, "rio-tiler").outcome is Outcome.OPENS


def test_every_variable_of_good_stores_has_a_verdict(stores: dict[str, Stored]) -> None:
    for name, good in stores.items():
        found = report_readers(good.edited())
        assert {verdict.reader for verdict in found} == set(READERS), name
        xarray = [verdict for verdict in found if verdict.reader == "xarray"]
        assert all(verdict.outcome is Outcome.OPENS for verdict in xarray), name
    subjects_of_own = {verdict.subject for verdict in report_readers(stores["own"].edited())}
    assert len(subjects_of_own) == 2  # gray and alpha, each at its finest level


def test_an_array_without_pyramid_has_a_verdict(stores: dict[str, Stored]) -> None:
    def forget(documents: dict[str, Any]) -> None:
        del documents[""]["attributes"]["multiscales"]

    found = {verdict.subject: verdict for verdict in report_readers(stores["degrees"].edited(forget))}
    assert len(found) == 3  # one a level


def test_conditions_run_as_rules_of_the_checker(contexts: dict[str, Context]) -> None:
    context = contexts["2-explicit-pixel"]
    made = rules(READERS["GDAL 3.13"])
    broken = [rule for rule in made if any(True for _ in rule.check(context))]
    assert [(rule.id, rule.clause, rule.severity) for rule in broken] == [
        ("RD-01", "reader GDAL 3.13", Severity.WARNING)
    ]
    assert {rule.severity for rule in made} == {Severity.ERROR, Severity.WARNING}


def test_the_report_is_written_as_text_and_as_json(contexts: dict[str, Context]) -> None:
    found = [verdict(contexts["2-explicit-pixel"], name) for name in ("GDAL 3.12", "GDAL 3.13")]
    text = to_text(found).splitlines()
    assert text[:3] == [
        "/0/level",
        "  GDAL 3.12             opens    never has overviews",
        "  GDAL 3.13             degrades without overviews",
    ]
    assert text[3].startswith(
        "    RD-01: Registration, when stated, wants a scale for each axis. /#/attributes/spatial:"
    )
    plain = to_json(found)
    assert json.loads(json.dumps(plain)) == plain
    assert [item["outcome"] for item in plain] == ["opens", "degrades"]
    assert plain[1]["reasons"][0]["found"] == '"pixel"'
    assert to_text([]) == ""


def test_the_checker_agrees_that_the_good_pyramids_are_good() -> None:
    for layout in ("plain", "sharded"):
        assert check(stored(cases.good("utm", "float32--9999-time", layout).objects)).exit_status == 0


@pytest.mark.parametrize("name", ["utm-uint16-0-plain-root-consolidated", "8-bare-levels"])
def test_documents_of_any_form_are_judged_without_raising(name: str) -> None:
    case = next(case for case in cases.everything() if case.name == name)
    objects = {key: data for key, data in case.objects.items() if key.endswith("zarr.json") and key[0] != "."}
    paths = ["zarr.json", "0/zarr.json", "0/level/zarr.json", "1/level/zarr.json", "0/x/zarr.json"]
    for path in paths:
        document = json.loads(objects[path])
        document.pop("consolidated_metadata", None)
        for pointer in _pointers(document):
            for value in STRANGE:
                changed = objects | {path: json.dumps(_set(document, pointer, value)).encode()}
                assert isinstance(report_readers(stored(changed)), tuple)


def _pointers(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    """List the places that readers look at: members, attributes, and what is in layouts and registrations."""
    attributes = document["attributes"]
    found: list[tuple[Any, ...]] = [(key,) for key in document]
    found += [("attributes", key) for key in attributes]
    if "multiscales" in attributes:
        found += [("attributes", "multiscales", "layout"), ("attributes", "multiscales", "layout", 1)]
        found += [("attributes", "multiscales", "layout", 1, key) for key in attributes["multiscales"]["layout"][1]]
    if "zarr_conventions" in attributes:
        found += [("attributes", "zarr_conventions", 0), ("attributes", "zarr_conventions", 0, "uuid")]
    return found


def _set(document: dict[str, Any], pointer: tuple[Any, ...], value: Any) -> dict[str, Any]:
    result = copy.deepcopy(document)
    holder: Any = result
    for part in pointer[:-1]:
        holder = holder[part]
    holder[pointer[-1]] = value
    return result
