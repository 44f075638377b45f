"""Gamma, sigmoidal contrast and saturation of red, green and blue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from geozarr.errors import ParameterError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Formula:
    """Operations on colours, as they were asked for."""

    text: str

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Apply them."""
        raise NotImplementedError


def parse_formula(text: str) -> Formula:
    """Read a formula."""
    raise ParameterError("color_formula", found=text[:40], expected="nothing yet")
