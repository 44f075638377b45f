"""TiTiler for COG and for xarray, as its documentation shows, and nothing around it that takes time."""

from fastapi import FastAPI
from titiler.core.errors import DEFAULT_STATUS_CODES, add_exception_handlers
from titiler.core.factory import TilerFactory
from titiler.xarray.factory import TilerFactory as XarrayTilerFactory

app = FastAPI()
app.include_router(TilerFactory(router_prefix="/cog").router, prefix="/cog")
app.include_router(XarrayTilerFactory(router_prefix="/md").router, prefix="/md")
add_exception_handlers(app, DEFAULT_STATUS_CODES)
