from __future__ import annotations

import pytest

from geozarr import MetadataError, crs
from geozarr.conventions import proj
from strategies import CODES, known_crs


@pytest.mark.parametrize("code", CODES)
def test_code_and_wkt2_are_written_and_agree(code: str) -> None:
    written = proj.to_attributes(known_crs(code))
    assert list(written) == ["proj:code", "proj:wkt2"]  # PJ-06, and nothing that is null (PJ-05)
    assert written["proj:code"] == code
    assert crs.from_code(written["proj:code"]) == crs.from_wkt2(written["proj:wkt2"])  # PJ-07


def test_a_crs_without_a_code_is_written_as_wkt2_alone() -> None:
    own = crs.from_wkt2(known_crs("EPSG:32618").wkt2.replace("500000", "500001"))
    assert list(proj.to_attributes(own)) == ["proj:wkt2"]
    assert proj.from_attributes(proj.to_attributes(own), node="/") == own


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("key", proj.KEYS)
def test_each_representation_is_enough_by_itself(code: str, key: str) -> None:
    made = known_crs(code)
    values = {"proj:code": code, "proj:wkt2": made.wkt2, "proj:projjson": made.to_projjson()}
    assert proj.from_attributes({key: values[key]}, node="/") == made


def test_wkt2_goes_before_the_code_and_the_code_before_projjson() -> None:
    attributes = {
        "proj:wkt2": known_crs("EPSG:3857").wkt2,
        "proj:code": "EPSG:4326",
        "proj:projjson": known_crs("EPSG:3035").to_projjson(),
    }
    assert proj.from_attributes(attributes, node="/") == known_crs("EPSG:3857")  # PJ-08
    del attributes["proj:wkt2"]
    assert proj.from_attributes(attributes, node="/") == known_crs("EPSG:4326")


def test_null_counts_as_absent() -> None:
    assert proj.from_attributes(dict.fromkeys(proj.KEYS), node="/") is None
    assert proj.from_attributes({"proj:wkt2": None, "proj:code": "EPSG:4326"}, node="/") == known_crs("EPSG:4326")
    assert proj.from_attributes({}, node="/") is None


@pytest.mark.parametrize("key", proj.KEYS)
@pytest.mark.parametrize("value", [5, True, [], {}, "", "nonsense", "+proj=longlat", {"proj": "longlat"}])
def test_a_malformed_crs_is_refused_by_its_key(key: str, value: object) -> None:
    with pytest.raises(MetadataError) as caught:
        proj.from_attributes({key: value}, node="/0")
    assert (caught.value.node, caught.value.key) == ("/0", key)


def test_a_good_code_does_not_hide_a_broken_wkt2() -> None:
    with pytest.raises(MetadataError) as caught:
        proj.from_attributes({"proj:code": "EPSG:4326", "proj:wkt2": "PROJCRS["}, node="/")
    assert caught.value.key == "proj:wkt2"
