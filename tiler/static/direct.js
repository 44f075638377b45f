// A layer that reads the chunks of the store in this browser; loaded only when that is switched on.

import {GeoZarr, WebGLTileLayer} from './vendor/geozarr.js';
import {getJson, ofDataset, ofService} from './service.js';

/** The source, set right where this project's stores say more than it reads. */
class Source extends GeoZarr {
  constructor(options, isMasked) {
    super(options);
    this.isMasked = isMasked;
  }

  // Two decisions of GeoZarr#configure_ (OpenLayers 10.11) hang on what this returns and sets.
  async configureLevels_(...args) {
    await super.configureLevels_(...args);
    if (this.isMasked) {
      // A mask says what is valid. The fill value is that of absent chunks, and may be the value of a cell.
      this.fillValue_ = undefined;
    }
    return true; // the tile grid of the levels is right; that of `tile_matrix_set` needs CRS of known names
  }
}

/**
 * Make a layer, and a function that makes it show other steps.
 * @param {Object} wish What to show: `variables` as `info` describes them, one or three; `steps`, a position for each
 *     of their dimensions; `ranges`, one for each; `colormap`, a name or ''.
 * @param {Projection} projection The CRS of the store.
 * @param {function} fail Called with the error of a tile.
 */
export async function directLayer({variables, steps, ranges, colormap}, projection, fail) {
  const [{mask}] = variables;
  const isMasked = Boolean(mask) && variables.every((variable) => variable.mask === mask);
  const bands = variables.map(({name}) => name).concat(isMasked ? mask : []);
  const colours = colormap ? await tableOf(colormap) : GREY;
  const dimensions = Object.fromEntries(steps);
  const url = ofDataset('zarr');
  const source = new Source({url, bands, dimensions, projection, transition: 0, wrapX: projection.isGlobal()}, isMasked);
  await source.ready().catch((error) => {
    throw source.error_ ?? error;
  });
  source.on('tileloaderror', ({tile}) => fail(tile.getError?.()));
  const shown = variables.length === 1 ? single(ranges[0], colours) : composite(ranges);
  const color = isMasked ? ['case', ['==', ['band', bands.length], 0], [0, 0, 0, 0], shown] : shown;
  return {
    layer: new WebGLTileLayer({source, style: {color}}),
    step: (next) => source.updateDimensions(Object.fromEntries(next)),
  };
}

const GREY = Array.from({length: 256}, (_, value) => [value, value, value, 1]);

async function tableOf(name) {
  const table = await getJson(ofService(`colorMaps/${encodeURIComponent(name)}`));
  return GREY.map((_, value) => table[value].map((part, at) => (at === 3 ? part / 255 : part)));
}

// As the service does: the range becomes 0 to 255, rounded half up, and what is beyond it is clipped.
const byte = (band, [low, high]) => [
  'clamp',
  ['floor', ['+', ['*', ['-', ['band', band], low], 255 / (high - low)], 0.5]],
  0,
  255,
];

const single = (range, colours) => ['palette', byte(1, range), colours];

const composite = (ranges) => ['color', ...ranges.map((range, at) => byte(at + 1, range)), 1];
