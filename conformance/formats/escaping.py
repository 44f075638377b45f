"""Text that a document may have made up, so written that nothing obeys it."""

from __future__ import annotations


def printable(text: str) -> str:
    """Escape control characters, marks that turn the direction of text, and lone surrogates.

    A terminal would obey the first, a reader be misled by the second, and an encoder refuse the third. What is left is
    also all that XML 1.0 allows.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def cut(text: str, most: int) -> str:
    """Bound a text to `most` characters, and make it printable."""
    return printable(text if len(text) <= most else text[: most - 3] + "...")
