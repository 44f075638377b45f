"""Where requests meet the service: datasets are opened for them, work is run for them, and answers become responses."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from starlette.responses import Response

from geozarr.errors import ChunkReadError, StoreError
from geozarr.hurry import NotAtHandError, hurrying
from tiler import meter
from tiler.admission import Admission
from tiler.http import has_it
from tiler.service import Service

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from starlette.requests import Request

    from tiler.meter import Spent
    from tiler.picture import Wish
    from tiler.select import Tileset
    from tiler.service import Answer, Opened
    from tiler.settings import Settings

T = TypeVar("T")
SOURCE = "tiler.source"  # key of a request's scope: what it was answered from, "cache", "chunks" or "store"
_FETCHES = 8  # chunks that a quick answer may need, and pieces of a manifest
_PROBE = 5.0  # seconds; whoever probes waits little longer


class Desk:
    """Answers requests on one event loop.

    Parameters
    ----------
    settings : Settings
        Datasets, links and limits.
    service : Service, optional
        With these settings, where it has been made already.
    """

    def __init__(self, settings: Settings, service: Service | None = None) -> None:
        self.settings = settings
        self.service = service or Service(settings)
        self.is_stopping = False
        self._probe: asyncio.Task[tuple[str, ...]] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._admission: Admission | None = None

    @property
    def admission(self) -> Admission:
        """What runs and waits on the running event loop."""
        loop = asyncio.get_running_loop()
        if self._admission is None or self._loop is not loop:
            self._loop = loop
            self._admission = Admission(self.settings.admission, lanes=len(self.service.catalog.names))
        return self._admission

    def close(self) -> None:
        """Let go of the threads."""
        if self._admission is not None:
            self._admission.close()
            self._admission = None

    async def open(self, request: Request, name: str) -> Opened:
        """Open a dataset; raises as `Service.known`, `Service.open` and `Admission.run` do."""
        known = self.service.catalog.known(name)
        if known is not None:
            return known
        return await self.run(request, name, "open", lambda: self.service.catalog.open(name))

    async def tileset(self, request: Request, opened: Opened, tms_id: str) -> Tileset:
        """Return a set as a dataset serves it; raises as `Service.tileset` and `Admission.run` do."""
        known = self.service.known_tileset(opened, tms_id)
        if known is not None:
            return known
        return await self.run(
            request, opened.name, ("set", opened.version, tms_id), lambda: self.service.tileset(opened, tms_id)
        )

    async def positions(self, request: Request, opened: Opened, wish: Wish) -> dict[str, int]:
        """Find the steps that a wish selects; raises as `PyramidSource.positions` and `Admission.run` do."""
        source, selectors = opened.source, wish.selectors
        if source.has_read(selector.dimension for selector in selectors):
            return source.positions(selectors)
        key = ("positions", opened.version, selectors)
        return await self.run(request, opened.name, key, lambda: source.positions(selectors))

    async def run(self, request: Request, dataset: str, key: Hashable, work: Callable[[], T]) -> T:
        """Do work for a request in a thread of a dataset; raises as `Admission.run` and the work do."""
        client = request.client

        async def gone() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                await asyncio.sleep(0)  # a server that has the body at hand must not keep the loop

        return await self.admission.run(
            work, lane=dataset, key=(dataset, key), client=client.host if client else "", gone=gone
        )

    async def answer(self, request: Request, name: str, find: Callable[[Opened], Awaitable[Answer]]) -> Response:
        """Find an answer in a dataset and send it.

        A dataset that has been rebuilt may have lost the chunks of the version that is still open here; where reading
        fails, it is looked at, and a new version is asked once.

        Parameters
        ----------
        request : Request
            The request.
        name : str
            The dataset.
        find : callable
            Returns the answer, from the opened dataset.

        Raises
        ------
        GeoZarrError
            Whatever opening, finding and making the answer raise.
        """
        try:
            return await self.respond(request, name, await find(await self.open(request, name)))
        except (ChunkReadError, StoreError):
            if not await self.run(request, name, "look", lambda: self.service.catalog.look(name)):
                raise
            return await self.respond(request, name, await find(await self.open(request, name)))

    def take(self, settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Have the datasets of other settings from now on, as `Catalog.take` does; other settings stay as they are."""
        changes = self.service.catalog.take(settings.datasets)
        self.settings = replace(self.settings, datasets=settings.datasets)
        self.admission.keep(self.service.catalog.names)
        return changes

    async def lost(self) -> tuple[str, ...]:
        """Look at the datasets that have ever been open; name those that are not to be found within `_PROBE` s."""
        if self._probe is None or self._probe.done():  # one at a time: a store may answer slowly
            self._probe = asyncio.create_task(self._look())
        return await asyncio.shield(self._probe)

    async def _look(self) -> tuple[str, ...]:
        catalog = self.service.catalog
        looks = {asyncio.create_task(asyncio.to_thread(catalog.look, name)): name for name in catalog.unchecked()}
        late: set[asyncio.Task[bool]] = set()
        if looks:
            _, late = await asyncio.wait(looks, timeout=_PROBE)
        return tuple(dict.fromkeys((*catalog.lost, *(looks[look] for look in late))))

    async def refresh(self) -> None:
        """Look at the datasets in use, again and again, until it is cancelled."""
        catalog = self.service.catalog
        looks: set[asyncio.Task[bool]] = set()
        while True:
            await asyncio.sleep(self.settings.refresh / 4)
            for name in catalog.due():
                # Not in its lane, which may be busy, and not one after the other: a store may answer slowly.
                look = asyncio.create_task(asyncio.to_thread(catalog.look, name))
                looks.add(look)
                look.add_done_callback(looks.discard)

    async def _made_here(
        self, request: Request, dataset: str, answer: Answer
    ) -> tuple[tuple[bytes, str], Spent] | None:
        """Make an answer on the event loop; None where that would take long, or somebody is at it.

        Threads only wait for the disk: at everything else they would be in each other's way.
        """
        if not answer.is_quick():
            return None
        for _ in range(_FETCHES):
            if self.admission.is_under_way((dataset, answer.tag)):
                return None
            try:
                with hurrying():
                    return _measured(answer.make)
            except NotAtHandError as missing:
                if missing.fetch is None:
                    return None
                await self.run(request, dataset, ("fetch", answer.tag), missing.fetch)
        return None

    async def respond(self, request: Request, dataset: str, answer: Answer) -> Response:
        """Send an answer, or say that the client has it."""
        tag = f'"{answer.tag}"'
        headers = {"ETag": tag, "Cache-Control": f"public, max-age={self.settings.max_age}"}
        if_none_match = request.headers.get("if-none-match")
        if if_none_match is not None and request.method != "POST" and has_it(if_none_match, tag):
            return Response(status_code=304, headers=headers)
        found = answer.made()
        if found is None:
            drawn = await self._made_here(request, dataset, answer)
            if drawn is None:
                drawn = await self.run(request, dataset, answer.tag, lambda: _measured(answer.make))
            found, spent = drawn
            request.scope[SOURCE] = "store" if spent.requests else "chunks"
            timing = f"cache;desc=miss, read;dur={spent.reading * 1000:.2f}, draw;dur={spent.drawing * 1000:.2f}"
        else:
            request.scope[SOURCE] = "cache"
            timing = "cache;desc=hit"
        body, media_type = found
        return Response(body, headers={**headers, "Content-Type": media_type, "Server-Timing": timing})


def _measured(make: Callable[[], T]) -> tuple[T, Spent]:
    with meter.measured() as spent:
        made = make()
    return made, spent
