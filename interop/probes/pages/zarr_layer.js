// Asks zarr-layer for values at places, near and far.
import {ZarrLayer} from '@carbonplan/zarr-layer';
import {Map} from 'maplibre-gl';

window.probe = async (job) => {
  const [first] = job.points;
  const style = {version: 8, sources: {}, layers: []};
  const center = [job.points[2].lon, job.points[2].lat];
  const map = new Map({container: 'map', style, center, zoom: 15, fadeDuration: 0, attributionControl: false});
  try {
    await map.once('load');
    const states = [];
    const layer = new ZarrLayer({
      id: 'store',
      source: job.url,
      variable: job.variable,
      colormap: ['#000000', '#ffffff'],
      clim: [0, 65535],
      selector: Object.fromEntries(
        Object.entries(job.leading).map(([name, index]) => [name, {selected: index, type: 'index'}]),
      ),
      ...(job.proj4 ? {proj4: job.proj4} : {}),
      onLoadingStateChange: (state) => states.push(state),
    });
    map.addLayer(layer);
    await settled(map, states);
    const failed = states.find((state) => state.error);
    if (failed) {
      throw new Error(failed.error.message ?? String(failed.error));
    }
    const values = [];
    for (const point of job.points) {
      values.push(await value(layer, job, point));
    }
    const mode = layer.mode;
    const limits = mode?.xyLimits;
    const found = (mode?.levels ?? []).map((level) => ({shape: level.shape?.slice(-2) ?? null}));
    if (found.length && limits) {
      found.sort((a, b) => (b.shape?.[0] ?? 0) - (a.shape?.[0] ?? 0));
      for (const level of found) {
        level.bounds = [limits.xMin, limits.yMin, limits.xMax, limits.yMax];
      }
    }
    map.setZoom(8);
    await settled(map, states);
    await value(layer, job, first);
    return {levels: found, values};
  } finally {
    map.remove();
  }
};

async function settled(map, states) {
  for (let turn = 0; turn < 400; turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, 25));
    const last = states.at(-1);
    if (last && (last.error || (!last.loading && !last.metadata && !last.chunks)) && turn > 8) {
      return;
    }
    map.triggerRepaint();
  }
}

async function value(layer, job, point) {
  const answer = await layer.queryData({type: 'Point', coordinates: [point.lon, point.lat]});
  const found = [answer[job.variable]].flat(Infinity)[0];
  return typeof found === 'number' && !Number.isNaN(found) ? found : null;
}
