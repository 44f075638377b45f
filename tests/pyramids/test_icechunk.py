"""A pyramid in an Icechunk repository: one commit, or nothing (FAULTS.md section 2, point 5)."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
import zarr
from click.testing import CliRunner
from obstore.store import MemoryStore, S3Store

import builds
import conformance
import faults
import pyramids
from builds import FakeSource, scene
from faults import Death, FaultStore
from geozarr import (
    BuildConflictError,
    CommitConflictError,
    LimitError,
    ParameterError,
    StoreError,
    TargetExistsError,
    UnknownNameError,
    UnsupportedError,
    Window,
    manifest,
)
from geozarr import store as store_module
from geozarr.icechunk_store import SessionStore
from geozarr.stores import Stamped, Store, Transaction
from pyramids import IcechunkTarget, cli, status
from tiler.chunks import chunk_cache
from tiler.pyramid import open_pyramid
from tiler.source import PyramidSource

icechunk = pytest.importorskip("icechunk", reason="of the extra `icechunk`")

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from icechunk import Repository
    from numpy.typing import NDArray


pytestmark = pytest.mark.usefixtures("at_every_stage")


@pytest.fixture
def repository() -> Repository:
    """An empty one, in memory."""
    return icechunk.Repository.create(icechunk.in_memory_storage())


def source(seed: int = 1, *, shape: tuple[int, int] = (300, 260)) -> FakeSource:
    """Some blocks, one of them empty."""
    values = scene("int16", (1, *shape), seed=seed)
    values[0, :128, 128:] = -9999
    given = FakeSource(values, nodata=-9999, block_shape=(64, 64))
    given.fingerprint = f"scene {seed}"
    return given


def plan_of(given: FakeSource, **choices: Any) -> pyramids.Plan:
    """Three levels, units of two levels, shards that reach across units."""
    plan = builds.plan_for(given, **({"tms": "native", "chunk": 32, "shard": 64, "levels": 4, "workers": 2} | choices))
    return dataclasses.replace(plan, block=64, cut=1)


def small(seed: int = 1) -> FakeSource:
    """So that a build has few operations."""
    return source(seed, shape=(100, 150))


def plain(given: FakeSource) -> pyramids.Plan:
    """One thread, so that operations come in the same order each time."""
    return plan_of(given, workers=1, levels=3)


def built(given: FakeSource, target: Any, **how: Any) -> pyramids.Report:
    """Build."""
    return pyramids.execute(plan_of(given), given, target, **how)


def arrays(target: Any) -> dict[str, NDArray[Any]]:
    """Every array of a store of zarr-python, by path; read by zarr-python."""
    group = zarr.open_group(target, mode="r", zarr_format=3)
    return {name: np.asarray(item[...]) for name, item in group.members(max_depth=None) if isinstance(item, zarr.Array)}


def in_memory(given: FakeSource) -> dict[str, NDArray[Any]]:
    """What a build into memory holds."""
    store = MemoryStore()
    built(given, store)
    return arrays(zarr.storage.ObjectStore(store, read_only=True))


def committed(repository: Repository, **version: str) -> dict[str, NDArray[Any]] | None:
    """What a reader of a branch or snapshot sees; None where there is nothing."""
    store = repository.readonly_session(**(version or {"branch": "main"})).store
    try:
        return arrays(store)
    except FileNotFoundError:
        return None


def assert_equal(found: Mapping[str, NDArray[Any]] | None, expected: Mapping[str, NDArray[Any]]) -> None:
    assert found is not None
    assert found.keys() == expected.keys()
    for path, values in expected.items():
        np.testing.assert_array_equal(found[path], values, err_msg=path)


def history(repository: Repository) -> list[Any]:
    """Snapshots of the branch, newest first; the last one is that of the empty repository."""
    return list(repository.ancestry(branch="main"))


class Counted(FaultStore):
    """A store whose operations are counted; committing and clearing are operations too."""

    def clear(self) -> None:
        """Clear."""
        self._do("clear", "", self._store.clear)  # type: ignore[attr-defined]

    def commit(self, message: str, *, metadata: Mapping[str, str]) -> str:
        """Commit."""
        return self._do("commit", "", lambda: self._store.commit(message, metadata=metadata))  # type: ignore[attr-defined]

    def end(self) -> None:
        """A process that is dead does not tidy."""
        if not self.is_dead:
            self._store.end()  # type: ignore[attr-defined]


def counted(repository: Repository, **how: Any) -> Counted:
    """Wrap a writable session."""
    return Counted(IcechunkTarget(repository).to_store(create=True), **how)


def test_a_repository_holds_what_a_build_into_memory_holds(repository: Repository) -> None:
    given = source()
    report = built(given, IcechunkTarget(repository))
    assert report.computed == report.work
    expected = in_memory(given)
    assert len(expected) > 10
    assert_equal(committed(repository), expected)


def test_xarray_opens_a_level(repository: Repository) -> None:
    given = source()
    built(given, IcechunkTarget(repository))
    store = repository.readonly_session(branch="main").store
    with xr.open_zarr(store, group="0", consolidated=False, zarr_format=3, mask_and_scale=False) as level:
        np.testing.assert_array_equal(level["v0"].values, in_memory(given)["0/v0"])


def test_there_is_one_commit_and_it_says_what_was_built(repository: Repository) -> None:
    report = built(source(), IcechunkTarget(repository))
    snapshot, empty = history(repository)
    assert snapshot.parent_id == empty.id
    tool, _, rest = snapshot.message.partition(": ")
    assert tool.startswith("geozarr-pyramids 0.")
    assert rest == f"build {report.build} from <fake>"
    assert snapshot.metadata["build"] == report.build
    assert snapshot.metadata["source"] == "<fake>"
    assert tool == f"{snapshot.metadata['tool']} {snapshot.metadata['version']}"


def test_the_message_may_be_the_callers(repository: Repository) -> None:
    report = built(source(), IcechunkTarget(repository, message="autumn"))
    assert history(repository)[0].message == "autumn"
    assert history(repository)[0].metadata["build"] == report.build


def test_another_branch_is_built_and_the_first_is_not_touched(repository: Repository) -> None:
    repository.create_branch("trial", history(repository)[0].id)
    built(source(), IcechunkTarget(repository, "trial"))
    assert len(history(repository)) == 1
    assert_equal(committed(repository, branch="trial"), in_memory(source()))
    with pytest.raises(UnknownNameError, match="branch"):
        built(source(), IcechunkTarget(repository, "other"))


def test_the_root_names_the_build_and_no_manifest(repository: Repository) -> None:
    report = built(source(), IcechunkTarget(repository))
    store = store_module.open_store(IcechunkTarget(repository))
    attributes = store_module.read_tree(store).attributes()
    assert attributes[manifest.ATTRIBUTE] == {"build": report.build, "manifest": None}
    assert manifest.reference_of(attributes) is None
    assert manifest.build_without_manifest(attributes) == report.build
    assert not [item.key for item in store.listed() if item.key.startswith(".")]


def test_the_checker_finds_nothing_and_the_reader_reads(repository: Repository) -> None:
    given = source()
    built(given, IcechunkTarget(repository))
    report = conformance.check(IcechunkTarget(repository))
    assert report.exit_status == 0, report.to_text()
    assert report.pyramids == 1
    store = store_module.open_store(IcechunkTarget(repository))
    pyramid = open_pyramid(store)
    reader = PyramidSource(store, pyramid, cache=chunk_cache(2**24))
    window = Window(20, 30, 200, 200)
    block = reader.read_window(0, window, pyramid.bands(("v0",)))
    valid = given.mask(0)[window.slices]
    assert not valid.all()
    np.testing.assert_array_equal(block.mask[0], valid)
    np.testing.assert_array_equal(block.values[0][valid], given.values[0][window.slices][valid])


def _moments(store: Counted) -> Iterator[tuple[int, str, bool]]:
    """When a build may die, and whether it has committed then: to die after an operation is to die before the next."""
    (commit,) = (at for at, item in enumerate(store.operations) if item.name == "commit")
    assert len(store.operations) > 50
    for at in range(len(store.operations)):
        yield at, "before", at > commit
    yield commit, "after", True


@pytest.mark.slow
def test_b1_death_at_any_moment_of_a_first_build(record_property: Callable[[str, object], None]) -> None:
    """A reader sees nothing before the commit and all after it; the next build is whole."""
    whole = icechunk.Repository.create(icechunk.in_memory_storage())
    store = counted(whole)
    pyramids.execute(plain(small()), small(), store)
    expected = committed(whole)
    assert expected is not None
    points = 0
    for at, how, is_committed in _moments(store):
        repository = icechunk.Repository.create(icechunk.in_memory_storage())
        with pytest.raises(Death):
            pyramids.execute(plain(small()), small(), counted(repository, at=at, how=how))
        assert (committed(repository) is not None) is is_committed, f"{how} {store.operations[at]}"
        pyramids.execute(plain(small()), small(), IcechunkTarget(repository), overwrite=is_committed)
        assert_equal(committed(repository), expected)
        assert len(history(repository)) == 2 + is_committed
        points += 1
    record_property("crash points", points)


@pytest.mark.slow
def test_b1_death_at_any_moment_of_a_rebuild(record_property: Callable[[str, object], None]) -> None:
    """A reader of the branch sees the former snapshot or the new one."""
    repository = icechunk.Repository.create(icechunk.in_memory_storage())
    pyramids.execute(plain(small()), small(), IcechunkTarget(repository))
    start, former = history(repository)[0].id, committed(repository)
    store = counted(repository)
    pyramids.execute(plain(small(2)), small(2), store, overwrite=True)
    new = committed(repository)
    assert former is not None
    assert new is not None
    assert not np.array_equal(former["0/v0"], new["0/v0"])
    repository.reset_branch("main", start)
    points = 0
    for at, how, is_committed in _moments(store):
        with pytest.raises(Death):
            pyramids.execute(plain(small(2)), small(2), counted(repository, at=at, how=how), overwrite=True)
        assert_equal(committed(repository), new if is_committed else former)
        assert (history(repository)[0].id == start) is not is_committed, f"{how} {store.operations[at]}"
        if is_committed:
            assert_equal(committed(repository, snapshot_id=start), former)
            repository.reset_branch("main", start)
        points += 1
    record_property("crash points", points)
    pyramids.execute(plain(small(2)), small(2), IcechunkTarget(repository), overwrite=True)
    assert_equal(committed(repository), new)


def test_overwriting_keeps_the_former_snapshot(repository: Repository) -> None:
    built(source(), IcechunkTarget(repository))
    former = history(repository)[0].id
    with pytest.raises(TargetExistsError, match="a pyramid"):
        built(source(2), IcechunkTarget(repository))
    with pytest.raises(TargetExistsError, match="this very pyramid"):
        built(source(), IcechunkTarget(repository))
    built(source(2), IcechunkTarget(repository), overwrite=True)
    assert len(history(repository)) == 3
    assert_equal(committed(repository), in_memory(source(2)))
    assert_equal(committed(repository, snapshot_id=former), in_memory(source()))
    assert conformance.check(IcechunkTarget(repository)).exit_status == 0


def test_the_stamp_of_a_branch_changes_with_a_commit_and_that_of_a_snapshot_does_not(repository: Repository) -> None:
    built(source(), IcechunkTarget(repository))
    opened = IcechunkTarget(repository).to_store()
    pinned = SessionStore(repository.readonly_session(snapshot_id=history(repository)[0].id), "", repository=repository)
    assert isinstance(opened, Stamped)
    first = opened.stamp("zarr.json")
    assert first == pinned.stamp("zarr.json") == history(repository)[0].id
    assert opened.stamp("nothing/zarr.json") is None
    built(source(2), IcechunkTarget(repository), overwrite=True)
    assert opened.stamp("zarr.json") == history(repository)[0].id != first
    assert pinned.stamp("zarr.json") == first


def test_overwriting_by_fewer_levels_leaves_none_of_the_former(repository: Repository) -> None:
    built(source(), IcechunkTarget(repository))
    given = source()
    plan = plan_of(given, levels=2)
    pyramids.execute(plan, given, IcechunkTarget(repository), overwrite=True)
    found = committed(repository)
    assert found is not None
    assert {path.partition("/")[0] for path in found} == {"0", "1"}


def test_b5_a_commit_of_somebody_else_is_a_conflict_and_nothing_is_lost(repository: Repository) -> None:
    def other(_: Window) -> None:
        given.before_read = None
        built(source(2), IcechunkTarget(repository))

    given = source()
    given.before_read = other
    with pytest.raises(CommitConflictError) as caught:
        built(given, IcechunkTarget(repository))
    assert isinstance(caught.value, BuildConflictError)
    theirs = history(repository)
    assert len(theirs) == 2
    assert (caught.value.branch, caught.value.snapshot) == ("main", theirs[0].id)
    assert theirs[0].id in str(caught.value)
    assert "branch main" in str(caught.value)
    assert caught.value.since == theirs[0].written_at.isoformat(timespec="seconds")
    assert_equal(committed(repository), in_memory(source(2)))
    # What was built is not thrown away either: a branch can be put on it.
    repository.create_branch("mine", caught.value.kept)
    assert_equal(committed(repository, branch="mine"), in_memory(source()))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.kept, str(again)) == (caught.value.kept, str(caught.value))


def test_b5_a_commit_whose_reply_was_lost_is_no_conflict(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tried again, it finds that the branch has moved: to what it has committed itself."""

    class Again(Exception):  # noqa: N818 - stands for Icechunk's own, which nobody can make
        def __init__(self, parent: str) -> None:
            self.actual_parent = parent

    class Lossy:
        def __init__(self, session: Any) -> None:
            self._session = session

        def __getattr__(self, name: str) -> Any:
            return getattr(self._session, name)

        def commit(self, message: str, metadata: dict[str, str]) -> str:
            raise Again(self._session.commit(message, metadata=metadata))

    monkeypatch.setattr(icechunk, "ConflictError", Again)
    store = IcechunkTarget(repository).to_store(create=True)
    store._session = Lossy(store._session)
    built(source(), store)
    assert len(history(repository)) == 2
    assert_equal(committed(repository), in_memory(source()))


def test_b23_a_repository_that_holds_other_things_is_refused(repository: Repository) -> None:
    session = repository.writable_session("main")
    zarr.create_array(session.store, name="mine", shape=(4,), dtype="u1")
    before = session.commit("mine")
    with pytest.raises(TargetExistsError, match="another origin"):
        built(source(), IcechunkTarget(repository), overwrite=True)
    assert history(repository)[0].id == before


def test_b23_a_group_that_is_not_ours_is_refused_though_it_is_empty(repository: Repository) -> None:
    session = repository.writable_session("main")
    zarr.create_group(session.store, attributes={"mine": True})
    before = session.commit("mine")
    with pytest.raises(TargetExistsError, match="a Zarr hierarchy of another origin"):
        built(source(), IcechunkTarget(repository), overwrite=True)
    assert history(repository)[0].id == before


def test_b23_a_pyramid_with_something_beside_it_is_not_overwritten(repository: Repository) -> None:
    built(source(), IcechunkTarget(repository))
    session = repository.writable_session("main")
    zarr.create_array(session.store, name="0/notes", shape=(4,), dtype="u1")
    before = session.commit("mine")
    with pytest.raises(TargetExistsError, match="0/notes"):
        built(source(2), IcechunkTarget(repository), overwrite=True)
    assert history(repository)[0].id == before


def test_b23_a_folder_that_holds_other_things_gets_no_repository(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(TargetExistsError, match="objects of another origin"):
        built(source(), f"icechunk://{tmp_path}", overwrite=True)
    assert [item.name for item in tmp_path.iterdir()] == ["letter.txt"]
    file = tmp_path / "letter.txt"
    with pytest.raises(TargetExistsError, match="a file"):
        built(source(), f"icechunk://{file}")
    with pytest.raises(StoreError) as caught:
        built(source(), f"icechunk://{file}/below")
    assert isinstance(caught.value.__cause__, OSError)


def test_b23_a_folder_build_does_not_touch_a_repository(tmp_path: Path) -> None:
    built(source(), f"icechunk://{tmp_path}/r")
    before = sorted((tmp_path / "r").rglob("*"))
    with pytest.raises(TargetExistsError, match="another origin"):
        built(source(), tmp_path / "r", overwrite=True)
    assert sorted((tmp_path / "r").rglob("*")) == before


def test_resuming_is_refused_and_says_why(repository: Repository) -> None:
    for _ in range(2):
        given = source()
        with pytest.raises(UnsupportedError, match="what was not committed is gone"):
            built(given, IcechunkTarget(repository), resume=True)
        assert not given.reads
        if len(history(repository)) == 1:
            built(source(), IcechunkTarget(repository))
    with pytest.raises(UnsupportedError, match="status"):
        status.status(IcechunkTarget(repository))


def test_a_build_that_fails_leaves_no_notes_behind(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plan, journal and the like are in a temporary folder, which goes with the store."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def stop(_: Window) -> None:
        assert list(tmp_path.glob("geozarr-build-*/.build/*/"))
        raise StoreError("get", "source")

    given = source()
    given.before_read = stop
    with pytest.raises(StoreError):
        built(given, IcechunkTarget(repository))
    built(source(), IcechunkTarget(repository))
    assert not list(tmp_path.iterdir())


def test_a_store_of_a_session_is_a_store_and_does_not_go_to_another_process(repository: Repository) -> None:
    store = IcechunkTarget(repository).to_store(create=True)
    assert isinstance(store, Store)
    assert isinstance(store, Transaction)
    with pytest.raises(UnsupportedError, match="one process writes it"):
        pickle.dumps(store)


def test_a_session_reads_as_other_stores_do(repository: Repository) -> None:
    """Held against the adapter of a store in memory with the same objects."""
    built(source(), IcechunkTarget(repository))
    store = store_module.open_store(IcechunkTarget(repository))
    memory = store_module.open_store(MemoryStore())
    objects = faults.contents(store)
    for key, data in objects.items():
        memory.put(key, data)
    assert len(objects) > 50
    assert sorted(item for item in store.listed()) == sorted(item for item in memory.listed())
    some = ["zarr.json", "0/v0/zarr.json", "0/v0/c/0/0", "0/x/c/0", "0/spatial_ref/c"]
    for key in (*some, "0/v0/c/0/3", "0/v0/c/99/99", "9/zarr.json", "9/v0/c/0/0"):
        for part in ({}, {"first": 2}, {"first": 2, "length": 5}, {"first": 2, "length": 10**6}, {"last": 3}):
            assert store.get(key, **part) == memory.get(key, **part), (key, part)
    assert store.get("zarr.json", last=10**7) == memory.get("zarr.json")
    with pytest.raises(LimitError):
        store.get("zarr.json", most=10)
    assert store.get("0/v0/c/0/0", last=8, most=8) == memory.get("0/v0/c/0/0", last=8, most=8)
    for prefix in ("", "0", "0/v0", "0/v0/c", "0/v0/c/1", "0/x", "0/x/c", "0/spatial_ref", "9", ".build"):
        assert store.children(prefix) == memory.children(prefix), prefix
        assert sorted(store.listed(prefix)) == sorted(memory.listed(prefix)), prefix


def test_what_is_read_only_says_so_and_creating_finds_what_is_there(repository: Repository) -> None:
    built(source(), IcechunkTarget(repository))
    store = store_module.open_store(IcechunkTarget(repository))
    document = store.get("0/zarr.json")
    assert document is not None
    with pytest.raises(StoreError, match=r"put '0/zarr\.json'"):
        store.put("0/zarr.json", document.data)
    with pytest.raises(StoreError, match="commit"):
        store.commit("x", metadata={})  # type: ignore[attr-defined]
    with pytest.raises(StoreError, match="0/v0/c/x/y"):
        store.get("0/v0/c/x/y")
    writable = IcechunkTarget(repository).to_store(create=True)
    assert not writable.put("0/zarr.json", document.data, create=True)
    assert writable.put("7/zarr.json", document.data, create=True)
    writable.delete("7/zarr.json")
    assert writable.get("7/zarr.json") is None


def test_a_lost_object_of_the_repository_is_no_empty_chunk(tmp_path: Path) -> None:
    """Icechunk has its own record of what is stored, so no manifest of ours is needed."""
    given = source()
    built(given, f"icechunk://{tmp_path}/r")
    folder = tmp_path / "r" / "chunks"
    assert list(folder.iterdir())
    shutil.rmtree(folder)
    store = store_module.open_store(f"icechunk://{tmp_path}/r")
    with pytest.raises(StoreError, match=r"0/v0/c/0/0"):
        store.get("0/v0/c/0/0")


def test_addresses_name_branch_tag_and_snapshot(tmp_path: Path) -> None:
    address = f"icechunk://{tmp_path}/r"
    built(source(), address)
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(tmp_path / "r")))
    first = history(repository)[0].id
    repository.create_tag("v1", first)
    repository.create_branch("next", first)
    built(source(2), f"{address}?branch=next", overwrite=True)
    builds_seen = [
        store_module.read_tree(store_module.open_store(f"{address}{version}")).attributes()[manifest.ATTRIBUTE]["build"]
        for version in ("", "?tag=v1", f"?snapshot={first}", "?branch=main", "?branch=next")
    ]
    assert builds_seen[:4] == [builds_seen[0]] * 4
    assert builds_seen[4] != builds_seen[0]
    for wrong, error in (
        ("?branch=nope", UnknownNameError),
        ("?tag=nope", UnknownNameError),
        ("?snapshot=nope", StoreError),
        ("?branch=main&tag=v1", ParameterError),
        ("?colour=red", ParameterError),
        ("?region=x", ParameterError),
        ("?branch", ParameterError),
    ):
        with pytest.raises(error):
            store_module.open_store(f"{address}{wrong}")
    with pytest.raises(ParameterError, match="one branch"):
        built(source(), f"{address}?tag=v1", overwrite=True)


@pytest.mark.parametrize(
    ("address", "error"),
    [
        ("icechunk://", ParameterError),
        ("icechunk+s3:///", ParameterError),
        ("icechunk+ftp://x/y", UnsupportedError),
        ("icechunk+s3://bucket/x?anonymous=perhaps", ParameterError),
    ],
)
def test_an_address_that_is_none_is_refused(address: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        store_module.open_store(address)


def test_nothing_is_made_where_something_is_to_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        conformance.check(f"icechunk://{tmp_path}/none")
    assert "no such folder" in str(caught.value.__cause__)
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError):
        conformance.check(f"icechunk://{tmp_path}/empty")
    assert not list((tmp_path / "empty").iterdir())
    assert not (tmp_path / "none").exists()


@pytest.mark.faults
def test_a_bucket_holds_a_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    server = pytest.importorskip("moto.server", reason="no S3 server to test with").ThreadedMotoServer(port=0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        bucket = S3Store("pyramids", endpoint=endpoint, region="us-east-1", client_options={"allow_http": True})
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/pyramids", method="PUT")).close()
        bucket.put("taken/letter.txt", b"dear")
        options = f"?endpoint={endpoint}&region=us-east-1"
        given = small()
        pyramids.execute(plain(given), given, f"icechunk+s3://pyramids/maps/one{options}")
        assert conformance.check(f"icechunk+s3://pyramids/maps/one{options}").exit_status == 0
        store = store_module.open_store(f"icechunk+s3://pyramids/maps/one{options}")
        folder = MemoryStore()
        pyramids.execute(plain(given), given, folder)
        expected = {key: data for key, data in builds.objects(folder).items() if key != "zarr.json"}
        assert {key: data for key, data in faults.contents(store).items() if key != "zarr.json"} == expected
        with pytest.raises(StoreError, match="open") as caught:
            pyramids.execute(plain(given), given, f"icechunk+s3://pyramids/taken{options}", overwrite=True)
        assert "clean prefixes" in str(caught.value.__cause__)
        with pytest.raises(StoreError, match="open"):
            conformance.check(f"icechunk+s3://pyramids/none{options}")
        keys = {str(item["path"]) for batch in bucket.list() for item in batch}
        assert {key for key in keys if not key.startswith("maps/one/")} == {"taken/letter.txt"}
    finally:
        server.stop()


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "icechunk", None)
    with pytest.raises(UnsupportedError, match=r"geozarr-pyramids\[icechunk\]"):
        built(source(), f"icechunk://{tmp_path}/r")
    assert not list(tmp_path.iterdir())


def test_the_command_builds_into_a_repository(tmp_path: Path) -> None:
    raster = tmp_path / "r.tif"
    builds.data_array(scene("int16", (80, 90))).rio.to_raster(raster)
    address = f"icechunk://{tmp_path}/repo"
    run = CliRunner().invoke(cli.main, [str(raster), address, "--quiet"])
    assert run.exit_code == 0, run.output
    assert conformance.check(address).exit_status == 0
    run = CliRunner().invoke(cli.main, [str(raster), address, "--quiet"])
    assert run.exit_code == 2
    assert "permission to overwrite" in run.output
    run = CliRunner().invoke(cli.main, [str(raster), address, "--overwrite"])
    assert run.exit_code == 0, run.output
    repository = icechunk.Repository.open(icechunk.local_filesystem_storage(str(tmp_path / "repo")))
    assert len(history(repository)) == 3
    assert json.loads(json.dumps(history(repository)[0].metadata))["source"].endswith("r.tif")
