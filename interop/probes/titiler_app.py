"""titiler-xarray: its application, asked by HTTP; the level is named by hand."""

import numpy as np
from fastapi import FastAPI
from fastapi.testclient import TestClient
from loop import main, number
from titiler.xarray.factory import TilerFactory

app = FastAPI()
app.include_router(TilerFactory().router)


class Refused(Exception):
    pass


def probe(job, client):
    def ask(path, level, **params):
        group = "/".join(part for part in (job["group"], level) if part)
        params = {"url": job["path"], "variable": job["variable"], "group": group} | params
        answer = client.get(path, params=params)
        if answer.status_code >= 400 and "outside bounds" not in answer.text:
            raise Refused(f"{answer.status_code} {answer.text[:200]}")
        return answer

    levels, code = [], None
    for level in job["levels"]:
        info = ask("/info", level).json()
        xmin, ymin, xmax, ymax = info["bounds"]
        code = info["crs"]
        levels.append({"shape": [info["height"], info["width"]], "bounds": [xmin, ymin, xmax, ymax]})
    values = []
    for point in job["points"]:
        crs = f"EPSG:{job['epsg']}"
        answer = ask(f"/point/{point['x']},{point['y']}", job["levels"][0], coord_crs=crs).json()
        found = answer["values"][-1]
        values.append(None if found is None else number(found))
    lon, lat = job["points"][0]["lon"], job["points"][0]["lat"]
    zoom = ask("/WebMercatorQuad/tilejson.json", job["levels"][0]).json()["maxzoom"]
    n = 2**zoom
    col = int((lon + 180) / 360 * n)
    row = int((1 - np.arcsinh(np.tan(np.radians(lat))) / np.pi) / 2 * n)
    tile = ask(f"/tiles/WebMercatorQuad/{zoom}/{col}/{row}.png", job["levels"][0], rescale="0,65535", bidx=1)
    if "image" not in tile.headers["content-type"]:
        raise Refused("no tile")
    epsg = int(code.rstrip("/").rpartition("/")[2]) if code and "EPSG" in code else None
    return {"crs": epsg, "levels": levels, "values": values}


if __name__ == "__main__":
    main(probe, setup=lambda: TestClient(app, raise_server_exceptions=True))
