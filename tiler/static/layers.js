// What is drawn: layers of tiles, or of the store itself, two of which take turns so that a step never flickers.

import {getProjection, ImageTile, Projection, TileGrid, TileLayer} from './vendor/ol.js';
import {getTile, ofDataset} from './service.js';

const LONGITUDE_LATITUDE = ['EPSG:4326', 'OGC:CRS84'];
const KNOWN = ['EPSG:3857', ...LONGITUDE_LATITUDE];

/** The CRS of a TileMatrixSet. OpenLayers transforms between the two that it knows; any other needs no transformation. */
export function projectionOf(tilejson) {
  if (KNOWN.includes(tilejson.crs)) {
    return getProjection(tilejson.crs === 'EPSG:3857' ? tilejson.crs : 'EPSG:4326');
  }
  const [first] = tilejson.tileMatrices;
  const [left, top] = first.topLeft;
  const width = first.matrixWidth * first.tileWidth * first.cellSize;
  const height = first.matrixHeight * first.tileHeight * first.cellSize;
  const isDegrees = tilejson.unit === 'degree';
  return new Projection({
    code: tilejson.crs ?? `TileMatrixSet ${tilejson.name}`,
    units: isDegrees ? 'degrees' : 'm',
    metersPerUnit: tilejson.metresPerUnit,
    extent: [left, top - height, left + width, top],
    // Metres in a pixel, for the bar of scale: OpenLayers would look for a transformation to degrees.
    getPointResolution: (resolution, [, y]) =>
      resolution * (isDegrees ? tilejson.metresPerUnit * Math.cos((y * Math.PI) / 180) : 1),
  });
}

export const isWebMercator = (projection) => projection.getCode() === 'EPSG:3857';
export const isDegrees = (projection) => projection.getUnits() === 'degrees';

/** The matrices that are asked for: none finer than what is stored. */
export const servedMatrices = (tilejson) => tilejson.tileMatrices.filter(({id}) => Number(id) <= tilejson.maxzoom);

function tileGridOf(tilejson) {
  const matrices = servedMatrices(tilejson);
  return new TileGrid({
    extent: tilejson.bbox,
    resolutions: matrices.map(({cellSize}) => cellSize),
    origins: matrices.map(({topLeft}) => topLeft),
    tileSizes: matrices.map(({tileWidth, tileHeight}) => [tileWidth, tileHeight]),
    sizes: matrices.map(({matrixWidth, matrixHeight}) => [matrixWidth, matrixHeight]),
  });
}

/**
 * What a layer is to show.
 * @typedef {Object} Wish
 * @property {string} key Differs wherever the picture does.
 * @property {string} [query] For tiles: their parameters.
 * @property {boolean} [isLossless] For tiles: not as JPEG.
 * @property {Object} [direct] To read the store itself: see `directLayer`.
 * @property {string} [form] For that: differs wherever more than the step does.
 */

/**
 * A layer with what has failed in it.
 * @typedef {Object} Frame
 * @property {string} key That of its wish.
 * @property {string} [form] That of its wish.
 * @property {Layer} layer The layer.
 * @property {function} [step] Makes it show other steps.
 * @property {number} failed Tiles that could not be loaded.
 * @property {string} reason Why the last of them could not.
 * @property {function} onfail Called when another has failed.
 */

/** Makes layers and counts what fails in them. */
export class Layers {
  /**
   * @param {string} tms Name of the TileMatrixSet.
   * @param {Object} tilejson Its tiles.
   * @param {Projection} projection Its CRS.
   */
  constructor(tms, tilejson, projection) {
    this.tms = encodeURIComponent(tms);
    this.matrices = servedMatrices(tilejson);
    this.tileGrid = tileGridOf(tilejson);
    this.projection = projection;
    this.spare = null;
  }

  /** Make a frame, which is not on the map yet. */
  async frame(wish) {
    if (wish.direct && this.spare?.form === wish.form) {
      const frame = this.spare;
      this.spare = null;
      frame.step(wish.direct.steps);
      return Object.assign(frame, {key: wish.key, failed: 0});
    }
    const frame = {key: wish.key, form: wish.form, layer: null, failed: 0, reason: '', onfail: () => {}};
    const fail = (error) => {
      frame.failed += 1;
      frame.reason = error?.message || 'they cannot be drawn';
      frame.onfail();
    };
    if (wish.direct) {
      const {directLayer} = await import('./direct.js');
      Object.assign(frame, await directLayer(wish.direct, this.projection, fail));
    } else {
      frame.layer = this.tileLayer(wish, fail);
    }
    return frame;
  }

  /** Take back a frame that is not shown any more. To open a store takes a while: one that is open is kept. */
  takeBack(frame) {
    frame.onfail = () => {};
    if (frame.step) {
      [frame, this.spare] = [this.spare, frame];
    }
    frame?.layer.getSource().dispose();
    frame?.layer.dispose();
  }

  /** Open the store anew for the next frame. */
  forget() {
    this.spare?.layer.getSource().dispose();
    this.spare?.layer.dispose();
    this.spare = null;
  }

  tileLayer({query, isLossless}, fail) {
    const suffix = isLossless ? '.png' : '';
    const source = new ImageTile({
      projection: this.projection,
      tileGrid: this.tileGrid,
      wrapX: this.projection.isGlobal(),
      interpolate: false, // cells stay cells, and colours those of the legend
      transition: 0,
      loader: async (z, x, y, {signal}) => {
        const {id, cornerOfOrigin, matrixHeight} = this.matrices[z];
        const row = cornerOfOrigin === 'bottomLeft' ? matrixHeight - 1 - y : y;
        try {
          return await getTile(ofDataset(`tiles/${this.tms}/${id}/${x}/${row}${suffix}${query && `?${query}`}`), signal);
        } catch (error) {
          if (!signal.aborted) {
            fail(error);
          }
          throw error;
        }
      },
    });
    return new TileLayer({source});
  }
}

/** Shows one frame while the next one loads over it, unseen: what is seen changes at once and whole. */
export class Screen {
  /**
   * @param {Map} map The map.
   * @param {Layers} layers Makes the frames.
   * @param {function(Frame)} changed Called when another frame is seen, and when something has failed in it.
   */
  constructor(map, layers, changed) {
    this.map = map;
    this.layers = layers;
    this.changed = changed;
    this.opacity = 1;
    this.front = null; // the frame that is seen
    this.back = null; // the next one: its key, and a promise of it
    this.wish = null;
    this.working = null;
  }

  setOpacity(opacity) {
    this.opacity = opacity;
    this.front?.layer.setOpacity(opacity);
  }

  /** Show something as soon as it is loaded; of wishes that come meanwhile only the last one counts. */
  show(wish) {
    this.wish = wish;
    this.working ??= this.work().finally(() => {
      this.working = null;
    });
    return this.working;
  }

  async work() {
    while (this.front?.key !== this.wish.key) {
      const {wish} = this;
      const frame = await this.load(wish).catch((error) => {
        if (wish === this.wish) {
          throw error;
        }
      });
      if (frame && frame === this.back?.frame) {
        this.swap(frame);
      }
    }
  }

  /** Load what is shown next. One frame is kept so; to load another one gives it up. */
  load(wish) {
    if (this.front?.key === wish.key) {
      return Promise.resolve(this.front);
    }
    if (this.back?.key !== wish.key) {
      this.giveUp();
      this.back = {key: wish.key, frame: null, ready: null};
      this.back.ready = this.prepare(this.back, wish);
    }
    return this.back.ready;
  }

  async prepare(back, wish) {
    try {
      const frame = await this.layers.frame(wish);
      if (this.back !== back) {
        this.layers.takeBack(frame);
        return null;
      }
      back.frame = frame;
      frame.layer.setOpacity(this.front ? 0 : this.opacity);
      this.map.addLayer(frame.layer);
      await this.isDrawn();
      return frame;
    } catch (error) {
      if (this.back === back) {
        this.back = null;
      }
      throw error;
    }
  }

  giveUp() {
    if (this.back?.frame) {
      this.remove(this.back.frame);
    }
    this.back = null;
  }

  swap(frame) {
    const former = this.front;
    this.front = frame;
    this.back = null;
    frame.layer.setOpacity(this.opacity);
    if (former) {
      this.remove(former);
    }
    frame.onfail = () => this.changed(frame);
    this.changed(frame);
  }

  remove(frame) {
    this.map.removeLayer(frame.layer);
    this.layers.takeBack(frame);
  }

  /** Load all tiles anew. */
  reload() {
    this.front.key = null;
    this.layers.forget();
    return this.show(this.wish);
  }

  isDrawn() {
    return new Promise((resolve) => {
      this.map.once('rendercomplete', resolve);
      this.map.render();
    });
  }
}
