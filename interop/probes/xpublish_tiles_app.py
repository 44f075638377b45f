"""xpublish-tiles: its tiles over a whole store, the values told by shades of grey."""

import io
import math

import numpy as np
import xarray as xr
import xpublish
from fastapi.testclient import TestClient
from loop import main
from PIL import Image
from xpublish_tiles.grids import guess_grid_system
from xpublish_tiles.multiscale import scan_resolution_levels
from xpublish_tiles.xpublish.tiles import TilesPlugin

ASKED = (0, 2, 4, 6)  # each point takes two tiles
EDGE = 6378137 * math.pi


class Refused(Exception):
    pass


def probe(job):
    tree = xr.open_datatree(job["path"], group=job["group"] or None, engine="zarr", decode_coords="all", chunks={})
    tree.attrs["_xpublish_id"] = job["name"]
    client = TestClient(xpublish.SingleDatasetRest(tree, plugins={"tiles": TilesPlugin()}).app)
    found = scan_resolution_levels(tree)
    levels = []
    for level in found:
        array = level.dataset[job["variable"]]
        levels.append({"shape": array.shape[-2:], "bounds": None})
    grid = guess_grid_system(found[0].dataset if found else tree.to_dataset(), job["variable"])
    box = grid.bbox
    for level in levels[:1]:
        level["bounds"] = [box.west, box.south, box.east, box.north]

    listed = client.get("/tiles/")
    if listed.status_code >= 400:
        raise Refused(f"the list answers {listed.status_code} {listed.text[:150]}")
    values = [value_at(client, job, job["points"][index]) for index in ASKED]
    for zoom in range(10, 14):  # coarser levels
        tile(client, job, job["points"][0], zoom, (0, 65535))
    return {"crs": grid.crs.to_epsg(), "levels": levels, "values": values, "asked": ASKED, "precision": 3.0}


def value_at(client, job, point, zoom=18):
    """Read a pixel twice: over the whole range, then over the 255 steps around it."""
    low, high = 0.0, 25500.0
    for _ in range(3):
        shade, alpha = tile(client, job, point, zoom, (low, high))
        if alpha == 0:
            return None
        value = low + shade / 255 * (high - low)
        low, high = value - (high - low) / 40, value + (high - low) / 40
    return float(value)


def tile(client, job, point, zoom, span):
    x = (math.radians(point["lon"]) * 6378137 + EDGE) / (2 * EDGE) * 2**zoom
    y = (EDGE - math.asinh(math.tan(math.radians(point["lat"]))) * 6378137) / (2 * EDGE) * 2**zoom
    params = {
        "variables": job["variable"],
        "style": "raster/gray",
        "colorscalerange": f"{span[0]},{span[1]}",
        "width": 256,
        "height": 256,
        "f": "png",
    }
    answer = client.get(f"/tiles/WebMercatorQuad/{zoom}/{int(y)}/{int(x)}", params=params)
    if answer.status_code >= 400:
        raise Refused(f"a tile answers {answer.status_code} {answer.text[:150]}")
    image = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGBA"))
    pixel = image[int(y % 1 * 256), int(x % 1 * 256)]
    return int(pixel[0]), int(pixel[3])


if __name__ == "__main__":
    main(probe)
