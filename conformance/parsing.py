"""Bytes into documents: strict JSON, with what is wrong in words."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

MAX_DEPTH_OF_JSON = 100  # levels of nesting; a consolidated PROJJSON has about 20


def parse(data: bytes) -> tuple[dict[str, Any], tuple[str, ...], str]:
    """Parse a document.

    Returns
    -------
    document : dict
        Empty where it cannot be read.
    duplicates : tuple of str
        Keys that it states more than once.
    fault : str
        Why it cannot be read; "" where it can.
    """
    duplicates: list[str] = []
    try:
        document = _load(data, duplicates)
    except (ValueError, RecursionError) as error:
        return {}, (), f"it is no JSON in UTF-8: {error}"
    if not isinstance(document, dict):
        return {}, (), "it is JSON, but no object"
    is_long = data.count(b"{") + data.count(b"[") > MAX_DEPTH_OF_JSON
    if is_long and _is_deeper(document, MAX_DEPTH_OF_JSON):
        return {}, (), f"it is nested deeper than {MAX_DEPTH_OF_JSON} levels"
    return document, tuple(dict.fromkeys(duplicates)), ""


def _load(data: bytes, duplicates: list[str]) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # Thousands of documents have the same few keys, which are kept once.
        result = {sys.intern(key): value for key, value in pairs}
        if len(result) < len(pairs):
            duplicates.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return result

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON number")

    return json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)


def _is_deeper(document: Any, levels: int) -> bool:
    layer = [document]
    for _ in range(levels):
        layer = [
            item
            for value in layer
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not layer:
            return False
    return True
