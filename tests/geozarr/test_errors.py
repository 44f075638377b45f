from __future__ import annotations

import copy
import pickle

import pytest

from geozarr import (
    BuildConflictError,
    BuildIncompleteError,
    ChunkReadError,
    GeoZarrError,
    GridMismatchError,
    GroomingError,
    LimitError,
    MetadataError,
    ParameterError,
    PlanChangedError,
    SourceChangedError,
    StoreError,
    TargetExistsError,
    TileLimits,
    TileOutsideLimitsError,
    UnknownNameError,
    UnsupportedError,
)

LIMITS = TileLimits("3", 0, 7, 2, 5)
# An error of each type, its fields, and words its message must hold.
CASES = [
    (
        PlanChangedError("chunk", before=512, now=256),
        {"field": "chunk", "before": 512, "now": 256},
        ("chunk", "512", "256"),
    ),
    (
        BuildConflictError("a.zarr", owner="anna@host", since="2026-01-02T03:04:05+00:00"),
        {"target": "a.zarr", "owner": "anna@host", "since": "2026-01-02T03:04:05+00:00"},
        ("a.zarr", "anna@host", "2026-01-02"),
    ),
    (
        BuildIncompleteError("3 units of work"),
        {"missing": "3 units of work"},
        ("3 units of work", "resume"),
    ),
    (
        MetadataError("/0", "proj:code", found=5, expected="a string"),
        {"node": "/0", "key": "proj:code", "found": 5, "expected": "a string"},
        ("/0", "proj:code", "5", "a string"),
    ),
    (
        UnsupportedError("complex64", "convert it to two bands"),
        {"feature": "complex64", "reason": "convert it to two bands"},
        ("complex64", "not supported", "convert it"),
    ),
    (
        GroomingError("a.nc", ("south-up: lat", "units: K")),
        {"source": "a.nc", "quirks": ("south-up: lat", "units: K")},
        ("a.nc", "south-up: lat", "1 more"),
    ),
    (
        ParameterError("count", found=0, expected="at least 1"),
        {"parameter": "count", "found": 0, "expected": "at least 1"},
        ("count", "0", "at least 1"),
    ),
    (
        UnknownNameError("TileMatrixSet", "Nope", ("A", "B")),
        {"kind": "TileMatrixSet", "name": "Nope", "known": ("A", "B")},
        ("TileMatrixSet", "Nope", "A, B"),
    ),
    (
        GridMismatchError("shape of level 1", found=(2, 3), expected=(2, 4)),
        {"what": "shape of level 1", "found": (2, 3), "expected": (2, 4)},
        ("shape of level 1", "(2, 3)", "(2, 4)"),
    ),
    (
        TileOutsideLimitsError(("3", 8, 4), LIMITS),
        {"tile": ("3", 8, 4), "limits": LIMITS},
        ("3/8/4", "rows 0 to 7", "columns 2 to 5"),
    ),
    (
        TargetExistsError("a.zarr", found="other files", expected="nothing"),
        {"target": "a.zarr", "found": "other files", "expected": "nothing"},
        ("a.zarr", "other files", "nothing"),
    ),
    (
        ChunkReadError("0/red", "c/0/1", "is cut off"),
        {"array": "0/red", "chunk": "c/0/1", "reason": "is cut off"},
        ("0/red", "c/0/1", "is cut off"),
    ),
    (
        LimitError("document size in bytes", allowed=10, found=2000),
        {"limit": "document size in bytes", "allowed": 10, "found": 2000},
        ("document size in bytes", "2,000", "10"),
    ),
    (
        SourceChangedError("a.tif", before="10 bytes", now="12 bytes"),
        {"source": "a.tif", "before": "10 bytes", "now": "12 bytes"},
        ("a.tif", "10 bytes", "12 bytes"),
    ),
    (
        StoreError("put", "0/zarr.json", attempts=3, reason="the store answered 503 SlowDown"),
        {"operation": "put", "key": "0/zarr.json", "attempts": 3, "reason": "the store answered 503 SlowDown"},
        ("put", "0/zarr.json", "3", "503 SlowDown"),
    ),
]
KINDS = [type(error).__name__ for error, _, _ in CASES]


@pytest.mark.parametrize(("error", "fields", "words"), CASES, ids=KINDS)
def test_errors_carry_their_fields_and_say_them(error: GeoZarrError, fields: dict, words: tuple[str, ...]) -> None:
    assert isinstance(error, GeoZarrError)
    assert vars(error) == fields
    assert [word for word in words if word not in str(error)] == []
    assert "\n" not in str(error)


def test_every_error_type_is_among_the_cases() -> None:
    assert {kind.__name__ for kind in GeoZarrError.__subclasses__()} >= set(KINDS)
    own = {kind.__name__ for kind in GeoZarrError.__subclasses__() if kind.__module__ == "geozarr.errors"}
    assert own == set(KINDS)


@pytest.mark.parametrize("error", [error for error, _, _ in CASES], ids=KINDS)
def test_errors_cross_process_borders(error: GeoZarrError) -> None:
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(again) is type(error)
        assert vars(again) == vars(error)
        assert str(again) == str(error)


def test_what_is_missing_is_called_nothing() -> None:
    assert "found nothing, expected a CRS" in str(MetadataError("/", "proj:wkt2", found=None, expected="a CRS"))


def test_a_tile_without_limits_is_outside_the_matrices_served() -> None:
    error = TileOutsideLimitsError(("9", 0, 0), None)
    assert error.limits is None
    assert "9/0/0" in str(error)


def test_messages_stay_short_whatever_was_found() -> None:
    deep: object = []
    for _ in range(100_000):
        deep = [deep]
    for found in ("x" * 10**6, list(range(10**5)), {"a": "b" * 10**6}, deep, 10**4000, b"y" * 10**6):
        assert len(str(MetadataError("n", "k", found=found, expected="e"))) < 200
        assert len(str(ParameterError("k", found=found, expected="e"))) < 200
    assert len(str(UnknownNameError("variable", "x" * 10**6, ()))) < 200
    names = tuple(str(number) for number in range(10_000))
    message = str(UnknownNameError("variable", "x", names))
    assert len(message) < 400
    assert message.endswith("and 9960 more")  # forty are shown


def test_line_breaks_of_strangers_do_not_reach_the_message() -> None:
    assert "\n" not in str(MetadataError("n", "k", found="a\nb", expected="e"))
    assert "\n" not in str(UnknownNameError("variable", "a\nb", ("c",)))
