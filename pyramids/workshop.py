"""What units of work are done with: source, store and memory; here, on other threads, in other processes or machines.

A workshop can be sent to another process. What goes there is a recipe: the plan as JSON, how to open source and store,
and the lease under which it is built. The first unit that arrives in a process opens the workshop, the others find it
there. It is closed when the lease is gone, which its process looks at while it works: so a build that ends, is stopped
or dies leaves no worker busy for long.
"""

from __future__ import annotations

import contextlib
import pickle
import threading
from collections import OrderedDict
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from geozarr import heap, manifest
from geozarr.errors import (
    ChunkReadError,
    GeoZarrError,
    LimitError,
    ParameterError,
    SourceChangedError,
    cause_in_words,
)
from geozarr.manifest import Entry
from pyramids import chunking, plan, shards, walk, writers
from pyramids.handover import Handovers
from pyramids.journal import Done
from pyramids.objects import arrays_of
from pyramids.scratch import ScratchPool
from pyramids.sources.blocks import Blocks, cell_shape
from pyramids.stack import PlacedStack
from pyramids.walk import Surroundings
from pyramids.writers import Writers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from geozarr.manifest import ArrayObjects
    from geozarr.stores import Store
    from pyramids.coordinator import Unit
    from pyramids.lease import Ticket
    from pyramids.objects import Record
    from pyramids.plan import Plan
    from pyramids.sources import Source

LOOKS = 1.0  # seconds between looks at the lease, where that is a file of this machine
LOOKS_FAR = 10.0  # elsewhere
MOST_RECIPE = 16 * 2**20  # bytes; it goes out with every unit of work
_MOST_OPEN = 2  # workshops of a process: one that is at work, and one that has ended and was not noticed yet


def _at_hand(planned: Plan, source: Source) -> int:
    """Bytes of the cells that workers use, and that are read ahead for them: all that are worth keeping of warped ones.

    Each is used once; cells of the sources, of which they are made, are needed by the next one too.
    """
    itemsize = max(variable.dtype.itemsize for variable in planned.variables)
    return chunking.cells_at_hand(cell_shape(source), itemsize, planned.together, workers=planned.workers)


@dataclass
class _Progress:
    """Takes note of what one unit of work does."""

    shop: Workshop
    stages: dict[str, float] = field(default_factory=dict)

    def computed(self, pixels: int) -> None:  # noqa: ARG002 - what counts is what is in the journal
        self.shop.go_on()

    def stored(self, size: int) -> None:
        """Nothing: the records say so too."""

    def spent(self, stages: dict[str, float]) -> None:
        for name, seconds in stages.items():
            self.stages[name] = self.stages.get(name, 0.0) + seconds


class Workshop:
    """Does units of work of one build. Safe to use from many threads.

    Parameters
    ----------
    planned : Plan
        What is built, with its levels where they go.
    source : Source
        What is read.
    store : Store
        Where objects go.
    folder : str
        Folder of the build.
    ticket : Ticket
        The lease under which it is built.

    Raises
    ------
    SourceChangedError
        If the source is not what was planned for, as another machine may find.
    """

    def __init__(self, planned: Plan, source: Source, store: Store, *, folder: str, ticket: Ticket) -> None:
        require_same(planned, source)
        self.plan = planned
        self.store = store
        self.source = source
        self._folder = folder
        self._ticket = ticket
        self._is_stopped = False
        self._open = contextlib.ExitStack()
        self._open.enter_context(heap.kept())
        flight, cache = writers.shares(store, planned)
        self.writers = self._open.enter_context(Writers(store, capacity=flight))
        if isinstance(source, PlacedStack):
            own = min(cache // 2, _at_hand(planned, source))
            source.keep(cache - own)
            cache = own
        self.blocks = self._open.enter_context(
            Blocks(source, capacity=cache, readers=planned.workers, damaged=planned.damaged)
        )
        # Threads beyond the plan's workers wait for their puts: only so many compute.
        self._turns = threading.BoundedSemaphore(planned.workers) if self.writers.units else contextlib.nullcontext()
        self.handovers = Handovers(planned, store, folder, capacity=planned.cache // 4)
        self._scratch = ScratchPool()
        self._lock = threading.Lock()
        self._told = 0.0  # CPU seconds of decoding that units have told of
        self._recipe: bytes | None = None
        shards.use_one_thread_a_chunk()

    def __reduce__(self) -> tuple[Any, ...]:
        return Recipe, (self._ticket.write_id, self.recipe())

    def open(self) -> Workshop:
        """Return the workshop itself, which is here."""
        return self

    def recipe(self) -> bytes:
        """Write down how to open this workshop elsewhere.

        Raises
        ------
        ParameterError
            If source or store cannot be opened in another process.
        LimitError
            If the source holds so much that it should not be sent about.
        """
        with self._lock:
            if self._recipe is None:
                self._recipe = self._written()
            return self._recipe

    def _written(self) -> bytes:
        things = {"source": self.source, "target": self.store}
        parts = {}
        for name, thing in things.items():
            try:
                parts[name] = pickle.dumps(thing)
            except GeoZarrError:
                raise
            except Exception as error:
                expected = "a path or a URL, which other processes can open; or threads"
                raise ParameterError(name, found=type(thing).__name__, expected=expected) from error
        size = len(parts["source"])
        if size > MOST_RECIPE:
            raise LimitError(
                "bytes of a source that is sent to other processes (save it, and open the file)",
                allowed=MOST_RECIPE,
                found=size,
            )
        recipe = (self.plan.to_document(), parts["source"], parts["target"], self._folder, self._ticket)
        return pickle.dumps(recipe)

    @cached_property
    def arrays(self) -> tuple[ArrayObjects, ...]:
        """Arrays of data, in the order of their numbers, see `Record`."""
        return arrays_of(self.plan)

    def close(self) -> None:
        """Let go of source and memory; units that are under way end at their next block."""
        self.stop()
        self._open.close()

    def stop(self) -> None:
        """Let units that are under way end at their next block."""
        self._is_stopped = True

    def go_on(self) -> None:
        """Tell a unit of work that it may go on.

        Raises
        ------
        CancelledError
            If the build has failed, was interrupted or has ended.
        """
        if self._is_stopped:
            raise CancelledError

    def do(self, unit: Unit) -> Done:
        """Do one unit of work; it is done when all that it stores is confirmed.

        Raises
        ------
        CancelledError
            If it was stopped.
        ChunkReadError, SourceChangedError
            If the source cannot be read.
        LostHandoverError
            If what a child has handed on is gone.
        StoreError
            If the store fails.
        """
        planned = self.plan
        group = planned.groups[unit.group]
        progress = _Progress(self)
        with self.writers.batch() as sink, self._turns, self._scratch.borrow() as scratch:
            if unit.children:
                quarters = {child: self.handovers.take(unit.group, child, entry) for child, entry in unit.children}
                found = walk.join(planned, group, unit.block, quarters, store=sink, progress=progress, scratch=scratch)
                pixels = 0
            else:
                surroundings = Surroundings(self.blocks, sink, progress)
                found = walk.run(planned, group, unit.block, surroundings=surroundings, scratch=scratch)
                pixels = walk.finest_window(planned, unit.block).size * len(group)
            records = tuple(found.records)
            handed = self.handovers.put(unit.group, unit.block, found, sink)
        progress.spent({"decode": self._decoding()})
        return Done(
            unit.group, unit.block, handed, records, pixels, found.damaged, found.undefined, stages=progress.stages
        )

    def damaged(self, records: Sequence[Record]) -> list[Record]:
        """Compare objects with what is known of them; return those that are not so.

        Raises
        ------
        CancelledError
            If it was stopped.
        StoreError
            If the store fails.
        """
        found = []
        for record in records:
            self.go_on()
            key = self.arrays[record.array].key(record.number)
            with self.writers.within(record.length):
                as_known = is_whole(self.store, key, Entry(record.length, record.crc32))
            if not as_known:
                found.append(record)
        return found

    def _decoding(self) -> float:
        """CPU seconds of decoding since this was asked last."""
        with self._lock:
            seconds = self.blocks.seconds - self._told
            self._told += seconds
        return seconds

    def watch(self) -> None:
        """Close this workshop when its lease is gone; for a process that only works."""
        pause = LOOKS if getattr(self.store, "folder", None) is not None else LOOKS_FAR
        waiting = threading.Event()

        def looking() -> None:
            while not waiting.wait(pause):
                with contextlib.suppress(GeoZarrError):
                    if not self._ticket.is_valid(self.store):
                        break
            with _SHOPS_LOCK:
                _SHOPS.pop(self._ticket.write_id, None)
            self.close()

        threading.Thread(target=looking, name="lease", daemon=True).start()


def require_same(planned: Plan, source: Source) -> None:
    """Refuse to go on with a source that is not what was planned for.

    Raises
    ------
    SourceChangedError
        If so.
    StoreError
        If a server does not say what a remote file is like now.
    """
    now = source.fingerprint  # looked up each time
    if now != planned.source.fingerprint:
        raise SourceChangedError(source.name, before=planned.source.fingerprint, now=now)


def is_whole(store: Store, key: str, entry: Entry) -> bool:
    """Tell whether an object is what is known of it; raises `StoreError` if the store fails."""
    try:
        manifest.read_object(store, key, entry, array=key, chunk="")
    except ChunkReadError:
        return False
    return True


class Opens(Protocol):
    """A workshop, or how to open it."""

    def open(self) -> Workshop:
        """Return the workshop."""
        ...


@dataclass(frozen=True)
class Recipe:
    """A workshop on its way to another process.

    Parameters
    ----------
    write_id : str
        Of the lease.
    recipe : bytes
        As `Workshop.recipe` gives it.
    """

    write_id: str
    recipe: bytes

    def open(self) -> Workshop:
        """Open the workshop in this process, or find it there; raises as `Workshop` and what opens source and store."""
        with _SHOPS_LOCK:
            found = _SHOPS.get(self.write_id)
            if found is not None:
                _SHOPS.move_to_end(self.write_id)
                return found
            document, source, store, folder, ticket = pickle.loads(self.recipe)  # from the process that builds
            planned = plan.from_document(document)
            opened = pickle.loads(source)
            shop = Workshop(planned.placed_by(opened), opened, pickle.loads(store), folder=folder, ticket=ticket)
            _SHOPS[self.write_id] = shop
            former = _SHOPS.popitem(last=False)[1] if len(_SHOPS) > _MOST_OPEN else None
        if former is not None:
            former.close()
        shop.watch()
        return shop


_SHOPS: OrderedDict[str, Workshop] = OrderedDict()  # of a process that only works, by write id
_SHOPS_LOCK = threading.Lock()


def do(shop: Opens, unit: Unit, attempt: int) -> Done:  # noqa: ARG001 - no two calls are alike to a cluster
    """Do a unit of work; raises as `Workshop.do`."""
    with _in_words(shop):
        return shop.open().do(unit)


def damaged(shop: Opens, records: Sequence[Record]) -> list[Record]:
    """Compare objects; raises as `Workshop.damaged`."""
    with _in_words(shop):
        return shop.open().damaged(records)


@contextlib.contextmanager
def _in_words(shop: Opens) -> Iterator[None]:
    """Note the cause of an error in words where it would be lost on its way to another process."""
    try:
        yield
    except GeoZarrError as error:
        words = cause_in_words(error)
        if isinstance(shop, Recipe) and words:
            error.add_note(words)
        raise
