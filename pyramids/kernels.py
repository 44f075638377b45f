"""How kernels are compiled.

On their first call for the types they meet, without the GIL, following IEEE division. Compiled code is kept on disk;
numba looks at the file that a kernel is in, and not at what the kernel calls: whoever edits a kernel that other modules
call deletes their caches (`pyramids/__pycache__/*.nb?`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

import numba

if TYPE_CHECKING:
    from collections.abc import Callable

Result = TypeVar("Result")


def jit(function: Callable[..., Result]) -> Callable[..., Result]:
    """Compile a kernel."""
    return cast("Callable[..., Result]", numba.njit(nogil=True, cache=True, error_model="numpy")(function))


def jit_sums(function: Callable[..., Result]) -> Callable[..., Result]:
    """Compile a kernel whose sums may be taken in any order, so that they are vectorised, and that meets no NaN."""
    flags = {"reassoc", "nnan", "nsz"}
    return cast(
        "Callable[..., Result]", numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=flags)(function)
    )
