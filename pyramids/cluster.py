"""Workers of a Dask cluster; `dask.distributed` is needed for that alone."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geozarr.errors import ParameterError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Executor

CONNECT = 10  # seconds


@dataclass(frozen=True)
class Cluster:
    """A cluster that is connected to.

    Parameters
    ----------
    executor : Executor
        Hands work to it.
    processes, threads : int
        Worker processes there are, and threads of each.
    """

    executor: Executor
    processes: int
    threads: int


@contextlib.contextmanager
def connected(address: str, *, timeout: float = CONNECT) -> Iterator[Cluster]:
    """Connect to the scheduler of a cluster.

    Parameters
    ----------
    address : str
        Such as `tcp://host:8786`.
    timeout : float
        Seconds.

    Raises
    ------
    UnsupportedError
        If `dask.distributed` is not installed.
    ParameterError
        If there is no scheduler, or it has no workers.
    """
    try:
        import distributed  # noqa: PLC0415 - an optional dependency, and a second to import
    except ImportError as error:
        raise UnsupportedError(
            "a Dask cluster without dask.distributed", "pip install geozarr-pyramids[dask]"
        ) from error
    try:
        client: Any = distributed.Client(address, timeout=timeout, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError) as error:  # ValueError: no address
        raise ParameterError("dask", found=address, expected="the address of a scheduler that answers") from error
    with client:
        threads = client.nthreads()
        if not threads:
            raise ParameterError("dask", found=f"{address}, which has no workers", expected="workers")
        yield Cluster(client.get_executor(), len(threads), max(threads.values()))
