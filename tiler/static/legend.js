// The colours of a single band, from the service's legend or, where it has none, from the table of the colormap.

import {getJson, getJsonIfAny, ofDataset, ofService} from './service.js';

let isKnown = true; // that the service has legends

/**
 * What stands in a legend.
 * @typedef {Object} Legend
 * @property {Array<Array<number>>} [colours] Of a ramp: 256 colours from low to high.
 * @property {number} [low] What the first of them stands for, where the service says so.
 * @property {number} [high] What the last of them stands for.
 * @property {string} [units] Their units.
 * @property {Array<{value: number, label: string, color: string}>} [entries] Of classes.
 */

/**
 * Find a legend.
 * @param {URLSearchParams} params Of the picture.
 * @param {string} colormap Its name; '' for grey.
 * @returns {Promise<Legend>}
 */
export async function legendOf(params, colormap) {
  const document = isKnown ? await getJsonIfAny(ofDataset('legend.json'), params) : null;
  isKnown = document !== null;
  if (document?.type === 'classes') {
    return {entries: document.entries, units: document.units};
  }
  if (document?.type === 'ramp' && document.stops.length) {
    const {min, max, units, stops} = document;
    return {colours: times256((at) => colourAt(stops, min + ((max - min) * at) / 255)), low: min, high: max, units};
  }
  if (!colormap) {
    return {colours: times256((value) => [value, value, value, 255])};
  }
  const table = await getJson(ofService(`colorMaps/${encodeURIComponent(colormap)}`));
  return {colours: times256((value) => table[value])};
}

const times256 = (make) => Array.from({length: 256}, (_, index) => make(index));

function colourAt(stops, value) {
  const above = stops.findIndex((stop) => stop.value >= value);
  const high = stops.at(above < 0 ? -1 : above);
  const low = stops[Math.max(0, above - 1)];
  const part = high.value > low.value ? (value - low.value) / (high.value - low.value) : 0;
  const [from, to] = [rgba(low.color), rgba(high.color)];
  return from.map((channel, at) => channel + (to[at] - channel) * Math.min(1, part));
}

/** A colour as four numbers, or as #rrggbb or #rrggbbaa. */
function rgba(color) {
  const parts = typeof color === 'string' ? color.match(/[0-9a-f]{2}/gi).map((hex) => parseInt(hex, 16)) : color;
  return parts.length < 4 ? [...parts, 255] : parts;
}

/** Draw 256 colours from left to right. */
export function drawRamp(canvas, colours) {
  const context = canvas.getContext('2d');
  const pixels = context.createImageData(colours.length, 1);
  pixels.data.set(colours.flat());
  context.putImageData(pixels, 0, 0);
}

/** List classes with their colours. */
export function listClasses(list, entries) {
  const items = entries.map(({value, label, color}) => {
    const item = document.createElement('li');
    const swatch = Object.assign(document.createElement('span'), {className: 'swatch'});
    const [red, green, blue, alpha] = rgba(color);
    swatch.style.backgroundColor = `rgb(${red} ${green} ${blue} / ${alpha / 255})`;
    item.append(swatch, String(label ?? value));
    return item;
  });
  list.replaceChildren(...items);
}
