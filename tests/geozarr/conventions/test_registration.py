from __future__ import annotations

import re

import pytest

from geozarr import MetadataError
from geozarr.conventions import registration
from geozarr.conventions.registration import KNOWN, MULTISCALES, PROJ, SPATIAL, Convention

# SPEC.md section 1, verbatim.
REGISTERED = [
    {
        "name": "multiscales",
        "uuid": "d35379db-88df-4056-af3a-620245f8e347",
        "schema_url": "https://raw.githubusercontent.com/zarr-conventions/multiscales/refs/tags/v0.1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/multiscales/blob/v0.1/README.md",
        "description": "Multiscale layout of zarr datasets",
    },
    {
        "name": "proj",
        "uuid": "f17cb550-5864-4468-aeb7-f3180cfb622f",
        "schema_url": "https://raw.githubusercontent.com/zarr-conventions/proj/refs/tags/v0.1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/proj/blob/v0.1/README.md",
        "description": "Coordinate reference system information for geospatial data",
    },
    {
        "name": "spatial",
        "uuid": "689b58e2-cf7b-45e0-9fff-9cfc0883d6b4",
        "schema_url": "https://raw.githubusercontent.com/zarr-conventions/spatial/refs/tags/v0.1/schema.json",
        "spec_url": "https://github.com/zarr-conventions/spatial/blob/v0.1/README.md",
        "description": "Spatial coordinate information",
    },
]
RAW = "https://raw.githubusercontent.com"
# Every alias of SPEC.md section 1, and the forms of a commit and of a README.
ALIASES = [
    (MULTISCALES, f"{RAW}/zarr-conventions/multiscales/refs/tags/v1/schema.json"),
    (PROJ, f"{RAW}/zarr-conventions/proj/refs/tags/v1/schema.json"),
    (PROJ, f"{RAW}/zarr-conventions/geo-proj/refs/tags/v1/schema.json"),
    (PROJ, f"{RAW}/zarr-experimental/geo-proj/refs/tags/v1/schema.json"),
    (PROJ, f"{RAW}/zarr-conventions/proj/5ca5b2f92e5c7245f957d9128b289ee535f0720d/schema.json"),
    (SPATIAL, f"{RAW}/zarr-conventions/spatial/refs/tags/v1/schema.json"),
    (SPATIAL, f"{RAW}/zarr-conventions/spatial/54d81b7ced0376e63ee10f34db31db7d08dcc28d/schema.json"),
    (SPATIAL, "https://github.com/zarr-conventions/spatial/blob/v1/README.md"),
]


def read(*documents: object) -> tuple[Convention, ...]:
    return registration.from_attributes({"zarr_conventions": list(documents)}, node="/")


def test_what_is_written_is_the_register_of_v0_1() -> None:
    assert registration.to_attributes(*KNOWN) == {"zarr_conventions": REGISTERED}


@pytest.mark.parametrize("convention", KNOWN, ids=lambda convention: convention.name)
def test_a_written_registration_obeys_the_framework(convention: Convention) -> None:
    document = convention.to_document()
    assert set(document) == {"schema_url", "spec_url", "uuid", "name", "description"}  # ZC-03
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", document["uuid"])  # ZC-04


@pytest.mark.parametrize("convention", KNOWN, ids=lambda convention: convention.name)
@pytest.mark.parametrize("key", ["uuid", "schema_url", "spec_url"])
def test_each_identifier_is_enough_by_itself(convention: Convention, key: str) -> None:
    assert read({key: convention.to_document()[key]}) == (convention,)


@pytest.mark.parametrize(("convention", "url"), ALIASES)
def test_every_alias_is_read(convention: Convention, url: str) -> None:
    key = "spec_url" if url.endswith(".md") else "schema_url"
    assert read({key: url}) == (convention,)


@pytest.mark.parametrize("name", ["proj", "proj:", "spatial", "spatial:", "multiscales"])
def test_a_name_identifies_nothing(name: str) -> None:
    assert read({"name": name}) == ()  # ZC-06
    assert read({"name": name, "uuid": PROJ.uuid}) == (PROJ,)


def test_the_uuid_goes_before_the_urls() -> None:
    other = "77c308c7-4db2-4774-8b2d-aa37e9997db6"  # the strawman of CF
    assert read({"uuid": SPATIAL.uuid, "schema_url": PROJ.schema_url}) == (SPATIAL,)  # ZC-05
    assert read({"uuid": other, "schema_url": PROJ.schema_url}) == ()
    assert read({"schema_url": PROJ.schema_url, "spec_url": SPATIAL.spec_url}) == (PROJ,)
    assert read({"uuid": None, "schema_url": PROJ.schema_url}) == (PROJ,)


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"uuid": ""},
        {"uuid": 5},
        {"uuid": []},
        {"schema_url": 5},
        {"schema_url": "https://example.com/zarr-conventions/proj/schema.json"},
        {"schema_url": f"{RAW}/zarr-conventions/project/schema.json"},
        {"spec_url": "https://github.com/zarr-conventions/proj-fork/blob/v0.1/README.md"},
    ],
)
def test_what_is_unknown_is_passed_over(document: dict) -> None:
    assert read(document, SPATIAL.to_document()) == (SPATIAL,)


def test_a_convention_registered_twice_counts_once_in_the_order_given() -> None:
    documents = [SPATIAL.to_document(), PROJ.to_document(), {"schema_url": SPATIAL.schema_url}]
    assert read(*documents) == (SPATIAL, PROJ)


def test_nothing_is_registered_where_the_attribute_is_absent() -> None:
    assert registration.from_attributes({}, node="/") == ()


@pytest.mark.parametrize("value", [None, "proj", {}, 5, ["proj"], [None], [[]], [PROJ.to_document(), 5]])
def test_a_malformed_attribute_is_refused(value: object) -> None:
    with pytest.raises(MetadataError) as caught:
        registration.from_attributes({"zarr_conventions": value}, node="/0")
    assert (caught.value.node, caught.value.key) == ("/0", "zarr_conventions")


@pytest.mark.parametrize("value", [None, 5, "x", []])
def test_what_is_no_object_means_no_convention(value: object) -> None:
    assert registration.identify(value) is None
