"""Datasets are opened once, and anew when their root document has changed."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from geozarr import store as store_module
from geozarr.errors import StoreError, UnknownNameError
from tiler.catalog import Catalog
from tiler.settings import Dataset

if TYPE_CHECKING:
    from pathlib import Path

    from geozarr.stores import Store

REFRESH = 10.0


class Shelf:
    """A catalog over a folder, whose versions are what its root document says."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "data"
        self.place.mkdir()
        self.now = 1000.0
        self.made: list[str] = []
        self.fails = False
        self.make_any = False
        self.publish("first")
        self.catalog = Catalog(
            (Dataset("data", self.place), Dataset("gone", folder / "nothing")),
            self.make,
            refresh=REFRESH,
            most=4,
            clock=lambda: self.now,
        )

    def publish(self, version: str) -> None:
        store_module.write_bytes(store_module.open_store(self.place), "zarr.json", version.encode())

    def make(self, name: str, store: Store, stamp: str | None) -> Any:
        assert name == "data" or self.make_any
        assert stamp is not None
        if self.fails:
            raise StoreError("get", "zarr.json")
        found = store.get("zarr.json")
        assert found is not None
        self.made.append(found.data.decode())
        return self.made[-1]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path)


def test_a_dataset_is_opened_once(shelf: Shelf) -> None:
    assert shelf.catalog.known("data") is None
    assert [shelf.catalog.open("data") for _ in range(3)] == ["first"] * 3
    assert shelf.catalog.known("data") == "first"
    assert shelf.made == ["first"]


def test_unknown_names_are_refused_and_places_that_are_none_are_told(shelf: Shelf) -> None:
    for ask in (shelf.catalog.known, shelf.catalog.open):
        with pytest.raises(UnknownNameError):
            ask("other")
    with pytest.raises(StoreError):
        shelf.catalog.open("gone")
    assert shelf.catalog.known("gone") is None


def test_t20_a_dataset_in_use_is_due_after_the_refresh_time_and_then_new(shelf: Shelf) -> None:
    shelf.catalog.open("data")
    shelf.publish("second")
    shelf.now += REFRESH - 1
    assert shelf.catalog.due() == []
    shelf.now += 1
    assert shelf.catalog.due() == ["data"]
    assert shelf.catalog.known("data") == "first"
    assert shelf.catalog.look("data")
    assert shelf.catalog.known("data") == "second"
    assert shelf.catalog.due() == []


def test_a_dataset_that_has_not_changed_is_not_read_again(shelf: Shelf) -> None:
    shelf.catalog.open("data")
    shelf.now += REFRESH
    assert not shelf.catalog.look("data")
    assert shelf.made == ["first"]


def test_a_dataset_that_nobody_asks_for_is_not_looked_at(shelf: Shelf) -> None:
    shelf.catalog.open("data")
    shelf.now += REFRESH
    assert not shelf.catalog.look("data")
    shelf.now += REFRESH
    assert shelf.catalog.due() == []
    shelf.catalog.known("data")
    assert shelf.catalog.due() == ["data"]


def test_t20_whoever_asks_after_long_waits_for_a_look(shelf: Shelf) -> None:
    shelf.catalog.open("data")
    shelf.publish("second")
    shelf.now += 100 * REFRESH
    assert shelf.catalog.known("data") is None
    assert shelf.catalog.open("data") == "second"


def test_t20_a_version_that_cannot_be_read_does_not_replace_the_last(shelf: Shelf) -> None:
    shelf.catalog.open("data")
    shelf.publish("half")
    shelf.fails = True
    shelf.now += REFRESH
    assert not shelf.catalog.look("data")
    assert shelf.catalog.known("data") == "first"
    shelf.fails = False
    shelf.now += REFRESH
    assert shelf.catalog.look("data")
    assert shelf.catalog.open("data") == "half"


def test_a_store_that_has_gone_leaves_the_last_version(shelf: Shelf) -> None:
    shelf.catalog.open("data")
    (shelf.place / "zarr.json").unlink()
    shelf.now += REFRESH
    assert not shelf.catalog.look("data")
    assert shelf.catalog.known("data") == "first"


def test_looks_at_the_same_time_open_a_version_once(shelf: Shelf) -> None:
    shelf.catalog.open("data")
    shelf.publish("second")
    looks = [threading.Thread(target=shelf.catalog.look, args=("data",)) for _ in range(8)]
    for look in looks:
        look.start()
    for look in looks:
        look.join()
    assert shelf.made == ["first", "second"]


def test_other_datasets_are_taken_and_those_that_stay_stay_open(shelf: Shelf) -> None:
    shelf.catalog.open("data")
    data, other = Dataset("data", shelf.place, "A title"), Dataset("other", shelf.place)
    assert shelf.catalog.take((data, other)) == (("other",), ("gone",))
    assert shelf.catalog.datasets == (data, other)
    assert shelf.catalog.known("data") == "first"
    assert shelf.made == ["first"]
    with pytest.raises(UnknownNameError):
        shelf.catalog.known("gone")
    assert not shelf.catalog.look("gone")


def test_a_dataset_that_is_elsewhere_is_opened_there(shelf: Shelf, tmp_path: Path) -> None:
    shelf.catalog.open("data")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "zarr.json").write_text("moved")
    assert shelf.catalog.take((Dataset("data", elsewhere),)) == (("data",), ("gone",))
    assert shelf.catalog.known("data") is None
    assert shelf.catalog.open_count == 0
    assert shelf.catalog.open("data") == "moved"
    assert shelf.catalog.open_count == 1


def test_the_requests_of_a_name_are_counted_on_where_it_moves(shelf: Shelf, tmp_path: Path) -> None:
    shelf.catalog.open("data")
    before = shelf.catalog.tallies["data"].requests
    assert before == 2  # the stamp, and the document
    assert shelf.catalog.tallies["data"].bytes == len("first")
    shelf.catalog.take((Dataset("data", tmp_path / "nothing"),))
    assert shelf.catalog.tallies["data"].requests == before


def test_a_dataset_that_was_open_and_is_not_to_be_found_is_lost_until_it_is(shelf: Shelf) -> None:
    assert shelf.catalog.unchecked() == []  # none has been open
    shelf.catalog.open("data")
    document = shelf.place / "zarr.json"
    text = document.read_text()
    document.unlink()
    assert shelf.catalog.unchecked() == []
    shelf.now += REFRESH
    assert shelf.catalog.unchecked() == ["data"]
    shelf.catalog.look("data")
    assert (shelf.catalog.lost, shelf.catalog.unchecked()) == (("data",), [])
    document.write_text(text)
    shelf.now += REFRESH
    shelf.catalog.look("data")
    assert shelf.catalog.lost == ()


def test_a_dataset_that_is_open_no_longer_is_looked_at_too(shelf: Shelf) -> None:
    """Another one has taken its place among those that are kept open."""
    places = tuple(Dataset(f"copy{number}", shelf.place) for number in range(5))
    shelf.catalog.take(places)
    shelf.make_any = True
    for dataset in places:
        shelf.catalog.open(dataset.name)
    assert shelf.catalog.open_count == 4
    shelf.now += REFRESH
    assert len(shelf.catalog.unchecked()) == 5
    (shelf.place / "zarr.json").unlink()
    for dataset in places:
        shelf.catalog.look(dataset.name)
    assert len(shelf.catalog.lost) == 5
