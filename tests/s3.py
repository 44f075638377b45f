"""A local S3 server, in a process of its own, and what builds to it need from the environment."""

from __future__ import annotations

import itertools
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from obstore.store import S3Store

from fault_proxy import FaultProxy
from geozarr.stores import ObjectStoreAdapter, Retries

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENT = Retries(first=0.001, longest=0.01)  # as often as a builder, without its pauses
SHORT = Retries(tries=3, first=0.001, longest=0.01)

# Ends when its standard input does, so also when the tests are killed.
_SERVE = """
import logging, sys
from moto.server import ThreadedMotoServer
logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""

# The server reads the region out of it and compares nothing.
_SIGNED = {"Authorization": "AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, Signature=none"}


@dataclass
class S3Server:
    """An S3 server on this machine.

    Parameters
    ----------
    port : int
        On 127.0.0.1.
    """

    port: int
    _names: Iterator[int] = field(default_factory=itertools.count)

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.port}"

    def bucket(self) -> str:
        """Make a bucket."""
        name = f"bucket-{next(self._names)}"
        request = urllib.request.Request(f"{self.endpoint}/{name}", method="PUT", headers=_SIGNED)
        with urllib.request.urlopen(request):
            return name


def options(endpoint: str, *, timeout: str = "20s") -> dict[str, Any]:
    """Arguments for a store of obstore."""
    return {
        "endpoint": endpoint,
        "region": "us-east-1",
        "access_key_id": "key",
        "secret_access_key": "secret",
        "client_options": {"allow_http": True, "timeout": timeout},
        "retry_config": {"max_retries": 0},
    }


def environment(endpoint: str) -> dict[str, str]:
    """Variables that let any command reach the server."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
    }


def opened(
    endpoint: str, bucket: str, prefix: str = "p.zarr", *, retries: Retries = PATIENT, timeout: str = "20s"
) -> ObjectStoreAdapter:
    """Open a prefix of a bucket."""
    store = S3Store(bucket, prefix=prefix, **options(endpoint, timeout=timeout))
    return ObjectStoreAdapter(store, f"s3://{bucket}/{prefix}", retries=retries)


@pytest.fixture
def proxy(s3_server: S3Server) -> Iterator[FaultProxy]:
    """A proxy before the server."""
    with FaultProxy(s3_server.port) as opened_proxy:
        yield opened_proxy


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A server for all tests of this session; each takes a bucket of its own."""
    pytest.importorskip("moto")
    command = [sys.executable, "-W", "ignore", "-c", _SERVE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the server has not started"
        yield S3Server(int(line))
        process.stdin.close()
