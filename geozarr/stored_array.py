"""How an array is stored: chunks, shards, codecs and keys, read from its document once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geozarr import cf, documents
from geozarr.codecs import MAX_CHUNK, Storage, read_storage
from geozarr.errors import UnsupportedError

if TYPE_CHECKING:
    import numpy as np

    from geozarr.documents import KeyEncoding


@dataclass(frozen=True)
class StoredArray:
    """A variable at one level.

    Parameters
    ----------
    path : str
        Its path in the store.
    shape : tuple of int
        Cells along each axis.
    storage : Storage
        Chunks, shards and codecs.
    keys : KeyEncoding
        How the keys of stored objects are written.
    fill_value : numpy scalar
        Value of cells that no chunk holds.
    """

    path: str
    shape: tuple[int, ...]
    storage: Storage
    keys: KeyEncoding
    fill_value: Any

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of its values, in the machine's byte order."""
        return self.storage.chain.dtype.newbyteorder("=")

    def object_key(self, index: tuple[int, ...]) -> str:
        """Key of a stored object, by its position in the grid of objects."""
        key = self.keys.key(index)
        return f"{self.path}/{key}" if self.path else key


def read_stored_array(
    document: dict[str, Any],
    path: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    *,
    max_chunk: int = MAX_CHUNK,
) -> StoredArray:
    """Read how an array is stored.

    Parameters
    ----------
    document : dict
        Its `zarr.json`, or a document of Zarr v2 in that form.
    path : str
        Its path in the store.
    shape : tuple of int
        What the document says of its cells.
    dtype : numpy.dtype
        What the document says of its values.
    max_chunk : int
        Largest size of one chunk, decoded, in bytes.

    Raises
    ------
    MetadataError
        If what it says of chunks, keys, codecs or the fill value is malformed.
    UnsupportedError
        If it has codecs, keys or transformers of other kinds than those that are read here.
    LimitError
        As `geozarr.codecs.read_storage`.
    """
    node = f"/{path}"
    object_shape = documents.object_shape_of(document, rank=len(shape), node=node)
    storage = read_storage(
        document.get("codecs"), dtype=dtype, object_shape=object_shape, node=node, max_chunk=max_chunk
    )
    if document.get("storage_transformers"):
        raise UnsupportedError(f"storage transformers of {node}", "chunks are stored as their codecs wrote them")
    keys = documents.key_encoding_of(document, node=node)
    value = document.get("fill_value")
    if dtype.kind == "U":
        fill = dtype.type(value if isinstance(value, str) else "")
    else:
        # null is not of the specification, but GDAL writes it for data without a nodata value; it stands for zero.
        fill = dtype.type(0) if value is None else cf.decode_fill_value(value, dtype, node=node)
    return StoredArray(path, shape, storage, keys, fill)
