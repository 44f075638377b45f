"""rio-tiler: its GroupReader, by points, tiles and zooms."""

import numpy as np
import zarr
from loop import main, number
from rio_tiler.experimental.zarr import GroupReader


def probe(job):
    group = zarr.open_group(job["path"], path=job["group"], mode="r")
    with GroupReader(group) as reader:
        names = {variable["name"] for variable in reader.list_variables()}
        found = reader.get_group_metadata()["arrays"][job["variable"]]
        levels = []
        for item in found:
            shape = (item["height"], item["width"])
            a, _, c, _, e, f = tuple(item["transform"])[:6]
            levels.append({"shape": shape, "bounds": [c, f + e * shape[0], c + a * shape[1], f]})
        values = []
        for point in job["points"]:
            read = reader.point(point["x"], point["y"], coord_crs=reader.crs, variables=job["variable"])
            read = np.ma.masked_invalid(read.array)
            value = read[-1]
            values.append(None if np.ma.is_masked(value) else number(value))
        zooms = (reader.minzoom, reader.maxzoom)
        lon, lat = job["points"][0]["lon"], job["points"][0]["lat"]
        tiles = []
        for zoom in range(zooms[0], zooms[1] + 1):
            tile = reader.tms.tile(lon, lat, zoom)
            image = reader.tile(tile.x, tile.y, zoom, variables=job["variable"])
            tiles.append(int(image.array.count()))
        return {
            "crs": reader.crs.to_epsg(),
            "bounds": list(reader.bounds),
            "levels": levels,
            "values": values,
            "zooms": zooms,
            "tiles": tiles,
            "variables": sorted(names),
        }


if __name__ == "__main__":
    main(probe)
