// Asks OpenLayers for its tile grid and for pixels of a layer that it has drawn.
import Map from 'ol/Map.js';
import View from 'ol/View.js';
import TileLayer from 'ol/layer/WebGLTile.js';
import {register} from 'ol/proj/proj4.js';
import GeoZarr from 'ol/source/GeoZarr.js';
import proj4 from 'proj4';

window.probe = async (job) => {
  if (job.proj4) {
    proj4.defs(`EPSG:${job.epsg}`, job.proj4);
    register(proj4);
  }
  const hasMore = Object.keys(job.leading).length > 0;
  const choice = hasMore ? {variable: job.variable, dimensions: job.leading} : {bands: [job.variable]};
  const source = new GeoZarr({url: job.url, transition: 0, ...choice});
  await new Promise((resolve) => {
    const look = () => (['ready', 'error'].includes(source.getState()) ? resolve() : setTimeout(look, 20));
    look();
  });
  if (source.getState() === 'error') {
    throw new Error(source.error_?.message ?? 'state error');
  }
  const grid = source.getTileGrid();
  const extent = grid.getExtent();
  const levels = grid.getResolutions().map((resolution, z) => {
    const rows = source.levelRowInfo_?.[grid.getMatrixId(z)]?.rowResolution ?? resolution;
    const shape = [Math.round((extent[3] - extent[1]) / rows), Math.round((extent[2] - extent[0]) / resolution)];
    const [left, top] = grid.getOrigin(z);
    return {shape, bounds: [left, top - shape[0] * rows, left + shape[1] * resolution, top]};
  });
  levels.reverse();
  const finest = grid.getResolutions().at(-1);
  const layer = new TileLayer({source});
  const view = new View({
    projection: source.getProjection(),
    center: [(extent[0] + extent[2]) / 2, (extent[1] + extent[3]) / 2],
    resolution: finest / 1.9,
    constrainResolution: false,
  });
  const errors = [];
  source.on('tileloaderror', (event) => errors.push(event.tile?.error_ ?? 'a tile was not loaded'));
  const map = new Map({target: 'map', layers: [layer], view, pixelRatio: 1, controls: []});
  try {
    const values = [];
    for (const {x, y} of job.points) {
      view.setCenter([x, y]); // a large raster is larger than the map
      await drawn(map);
      values.push(read(map, layer, source, [x, y]));
    }
    view.setResolution(grid.getResolutions()[0]);
    await drawn(map);
    const coarse = layer.getData(map.getPixelFromCoordinate([job.points[0].x, job.points[0].y]));
    if (errors.length) {
      throw new Error(`a tile was not loaded: ${errors[0]?.message ?? errors[0]}`);
    }
    return {
      crs: Number(source.getProjection().getCode().split(':')[1]) || null,
      levels: coarse ? levels : levels.slice(0, 1),
      values,
      nodataBand: source.nodataBandIndex ?? null,
    };
  } finally {
    map.setTarget(null);
    layer.dispose();
    map.dispose();
  }
};

function drawn(map) {
  return new Promise((resolve) => {
    map.once('rendercomplete', resolve);
    map.render();
  });
}

function read(map, layer, source, coordinate) {
  const data = layer.getData(map.getPixelFromCoordinate(coordinate));
  if (!data) {
    return null;
  }
  return source.nodataBandIndex && data[source.nodataBandIndex - 1] === 0 ? null : data[0];
}
