"""Every test of a module twice: with loops of NumPy, and with compiled ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tiler import compiled

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module", params=["numpy", "compiled"], autouse=True)
def loops(request: pytest.FixtureRequest) -> Iterator[str]:
    """Which of them are in use."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "compiled":
            assert compiled.load() is not None
        patch.setattr(compiled._STATE, "kernels", compiled.kernels() if request.param == "compiled" else None)
        yield request.param
