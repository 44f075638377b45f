"""`/md/...?url=NAME`: the addresses that users of titiler.xarray know, led to the dataset that they name.

leafmap and others ask for `/md/{tms}/tilejson.json` and `/md/info` with `url`, `group` and `decode_times`. Here `url`
names a registered dataset, by its name or by the place that it was registered with; nothing else is ever opened.
Levels are chosen by zoom and times are always decoded, so a group must be none or a level, and times decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from geozarr.errors import ParameterError
from tiler import parameters

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from tiler.settings import Settings

PREFIX = "/md/"
_OWN = (
    parameters.Parameter("url", "Name of a dataset"),
    parameters.Parameter("group", "Root, or name of a level: which one is shown follows from the zoom"),
    parameters.Parameter("decode_times", "true"),
)
_GROUP = 64  # characters


def leads_to(scope: MutableMapping[str, Any], settings: Settings) -> MutableMapping[str, Any]:
    """Rewrite a request for an alias into one for the dataset that it names.

    Parameters
    ----------
    scope : mapping
        ASGI scope of a request whose path starts with `PREFIX`.
    settings : Settings
        Datasets.

    Returns
    -------
    mapping
        The scope of the request that is meant.

    Raises
    ------
    ParameterError
        If `url` names no dataset, or the other parameters ask for what is not done.
    """
    pairs = parameters.parse_pairs(scope["query_string"])
    own = {item.name: [text for name, text in pairs if name == item.name] for item in _OWN}
    for name, texts in own.items():
        if len(texts) > 1:
            raise ParameterError(name, found="more than one value", expected="one value")
    dataset = _dataset(own["url"], settings)
    if own["decode_times"] and own["decode_times"][0].lower() not in ("true", "1"):
        raise ParameterError("decode_times", found=own["decode_times"][0][:40], expected="true")
    group = own["group"][0].strip("/") if own["group"] else ""
    if len(group) > _GROUP or "/" in group:
        raise ParameterError("group", found=group[:40], expected="the root, or the name of a level")
    path = f"/{dataset}/{scope['path'].removeprefix(PREFIX)}"
    query = urlencode([(name, text) for name, text in pairs if name not in own])
    return {**scope, "path": path, "raw_path": quote(path).encode(), "query_string": query.encode()}


def _dataset(texts: list[str], settings: Settings) -> str:
    wanted = texts[0].rstrip("/") if texts else None
    for dataset in settings.datasets:
        if wanted is not None and wanted in (dataset.name, str(dataset.location).rstrip("/")):
            return dataset.name
    found = None if wanted is None else wanted[:80]
    raise ParameterError("url", found=found, expected="the name of a registered dataset")
