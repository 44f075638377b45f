"""Opens what a URL names.

Credentials, endpoints, proxies and time limits come from environment variables that obstore itself reads
(docs/targets.md). Where it leaves a gap, this module reads them too; it is the only one beside the commands that does.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.store import from_url

from geozarr.errors import StoreError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# Ours are the retries: obstore's own would multiply with them.
_ONE_TRY: Any = {"max_retries": 0}
_AZURE = ("az", "azure", "abfs", "abfss", "adl")
_AZURE_ACCOUNTS = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_ACCOUNT_NAME")
_EMULATOR = "devstoreaccount1"  # the account that every emulator of Azure has


def open_url(url: str) -> ObjectStore:
    """Open a URL; no request is made.

    Parameters
    ----------
    url : str
        What obstore knows: `s3:`, `gs:`, `az:`, `http:`, `https:`, `file:` ...

    Raises
    ------
    StoreError
        If no account is known for a container of Azure.
    BaseError, ValueError
        As obstore does.
    """
    parts = urlsplit(url)
    if parts.scheme == "http":
        return from_url(url, client_options={"allow_http": True}, retry_config=_ONE_TRY)
    if parts.scheme in _AZURE and "@" not in parts.netloc:
        # obstore ends in a panic where the account is in the environment alone.
        return from_url(url, account_name=_azure_account(url), retry_config=_ONE_TRY)
    # No settings of the client: with any of them obstore would forget those of the environment, AWS_ALLOW_HTTP among
    # them. Its own time limits are 5 s to connect and 30 s for a request.
    return from_url(url, retry_config=_ONE_TRY)


def _azure_account(url: str) -> str:
    for name in _AZURE_ACCOUNTS:
        if os.environ.get(name):
            return os.environ[name]
    if os.environ.get("AZURE_STORAGE_USE_EMULATOR", "").lower() in ("1", "true"):
        return _EMULATOR
    raise StoreError("open", url, reason=f"the environment names no account: set {_AZURE_ACCOUNTS[0]}")
