"""HTML and SVG as text, in which nothing becomes an element but what `tag` has made."""

from __future__ import annotations

import html

from conformance.formats.escaping import cut

_LONGEST = 400  # characters of one piece of text; a document can hold megabytes in one string
_VOID = frozenset({"img", "meta", "link", "br"})


class Markup(str):
    """Text that is HTML already. Every other string is escaped where it is put in."""


def tag(name: str, /, *inner: str, **attributes: str | float | None) -> Markup:
    """Write an element.

    Parameters
    ----------
    name : str
        Its name.
    *inner : str
        What it holds: `Markup` as it is, other strings escaped, made printable and cut.
    **attributes : str, number or None
        An underscore at the end falls away, others become hyphens; None leaves the attribute out.
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_attribute(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Markup(f"<{name}{told}>")
    return Markup(f"<{name}{told}>{join(*inner)}</{name}>")


def join(*parts: str) -> Markup:
    """Put parts behind each other, strings that are no `Markup` escaped."""
    return Markup("".join(part if isinstance(part, Markup) else text(part) for part in parts))


def text(value: str) -> Markup:
    """Escape a string, made printable and of bounded length."""
    return Markup(html.escape(cut(value, _LONGEST)))


def _attribute(value: str | float) -> str:
    if isinstance(value, Markup):
        return str(value)
    return f"{value:.6g}" if isinstance(value, float) else str(text(str(value)))
