"""xpublish-tiles on one store, as its documentation shows."""

import os

import xarray as xr
import xpublish
from xpublish_tiles.xpublish.tiles import TilesPlugin

tree = xr.open_datatree(os.environ["STORE"], engine="zarr", decode_coords="all", chunks={})
tree.attrs["_xpublish_id"] = "store"
app = xpublish.SingleDatasetRest(tree, plugins={"tiles": TilesPlugin()}).app
