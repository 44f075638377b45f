"""GDAL 3.13 through its own Python bindings."""

import math

from loop import box, main
from osgeo import gdal, osr

gdal.UseExceptions()
gdal.SetConfigOption("GDAL_PAM_ENABLED", "NO")


def probe(job):
    inner = "/".join(part for part in (job["group"], job["levels"][0], job["variable"]) if part)
    name = f'ZARR:"{job["path"]}":/{inner}'
    info = gdal.OpenEx(name, gdal.OF_RASTER)
    band = info.GetRasterBand(info.RasterCount)
    c, a, b, f, d, e = info.GetGeoTransform(can_return_null=True) or (0, 1, 0, 0, 0, 1)
    is_placed = (c, a, b, f, d, e) != (0, 1, 0, 0, 0, 1)
    shape = (info.RasterYSize, info.RasterXSize)
    reference = info.GetSpatialRef()
    code = None
    if reference is not None:
        code = int(reference.GetAuthorityCode(None) or 0) or matching(reference, job["epsg"])
    extent = box((a, b, c, d, e, f), shape) if is_placed else None
    overviews = [band.GetOverview(index) for index in range(band.GetOverviewCount())]
    values = []
    nodata = band.GetNoDataValue()
    for point in job["points"]:
        col, row = (point["x"] - c) / a, (point["y"] - f) / e
        if not is_placed:
            col, row = point["col"], point["row"]
        value = float(band.ReadAsArray(int(col), int(row), 1, 1)[0, 0])
        missing = math.isnan(value) or (nodata is not None and value == nodata)
        values.append(None if missing else value * (band.GetScale() or 1) + (band.GetOffset() or 0))
    for overview in overviews:
        overview.ReadAsArray()
    return {
        "crs": code,
        "levels": [{"shape": shape, "bounds": extent}]
        + [{"shape": (o.YSize, o.XSize), "bounds": extent} for o in overviews],
        "values": values,
    }


def matching(reference, epsg):
    other = osr.SpatialReference()
    other.ImportFromEPSG(epsg)
    options = ["IGNORE_DATA_AXIS_TO_SRS_AXIS_MAPPING=YES", "CRITERION=EQUIVALENT"]
    return epsg if reference.IsSame(other, options) else -1


if __name__ == "__main__":
    main(probe)
