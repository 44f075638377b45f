"""JSON that a client sends in a parameter, read within bounds.

Length and depth are counted before the parser sees the text, so that neither memory nor its stack is in the hands of
the sender.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from geozarr.errors import ParameterError


def parse_json(parameter: str, text: str, *, max_characters: int, max_depth: int) -> Any:
    """Parse a JSON text.

    Parameters
    ----------
    parameter : str
        Name of the parameter, for messages.
    text : str
        What was sent.
    max_characters, max_depth : int
        Bounds of its length, and of how many arrays and objects may be nested; brackets within strings count too.

    Returns
    -------
    object
        Python's equivalent; numbers are finite.

    Raises
    ------
    ParameterError
        If the text is longer, deeper or no JSON (RFC 8259), has a key twice or a number that is not finite.
    """
    if len(text) > max_characters:
        expected = f"at most {max_characters} characters"
        raise ParameterError(parameter, found=f"{len(text)} characters", expected=expected)
    if _depth(text) > max_depth:
        raise ParameterError(parameter, found=text, expected=f"JSON of at most {max_depth} levels")

    def refuse(found: str) -> NoReturn:
        raise ParameterError(parameter, found=found, expected="finite numbers")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) != len(pairs):
            raise ParameterError(parameter, found=text, expected="each key once")
        return made

    def finite(digits: str) -> float:
        number = float(digits)
        return number if abs(number) < float("inf") else refuse(digits)

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_float=finite)
    except ValueError as error:
        raise ParameterError(parameter, found=text, expected="JSON") from error


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest
