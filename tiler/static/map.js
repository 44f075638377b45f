// The map page: what is chosen, the map, and what stands around it. The address says all of it, behind the #.

import {
  defaultInteractions,
  Map as OlMap,
  Overlay,
  ScaleLine,
  toLonLat,
  View,
  wrapX,
  Zoom,
  ZoomToExtent,
} from './vendor/ol.js';
import * as choices from './choices.js';
import {isWebMercator, Layers, projectionOf, Screen, servedMatrices} from './layers.js';
import {drawRamp, legendOf, listClasses} from './legend.js';
import {getJson, getJsonIfAny, ofDataset, ofService, tmsOfAddress} from './service.js';
import {Steps} from './steps.js';
import * as text from './text.js';

const $ = (id) => document.getElementById(id);
const COMMON = [
  'viridis', 'magma', 'inferno', 'plasma', 'cividis', 'turbo', 'terrain', 'blues', 'greens', 'ylgn', 'ylgnbu',
  'rdylgn', 'rdbu', 'spectral', 'coolwarm',
];
const THREE = ['red', 'green', 'blue']; // lists of variables
const PHONE = '(max-width: 600px)'; // as in map.css
const DOUBLE = 250; // milliseconds within which a second click makes a double one
const STILL = 3; // pixels that a press may wander and still be a click

// What is shown.
const state = {
  choice: null, // of rasters; see choices.js
  steps: new Map(), // position along each dimension, by name
  ranges: [], // of stored values; none: as the service does it
  colormap: '', // '': grey
  opacity: 1,
  isDirect: false, // the store is read here
  mark: null, // place, in map coordinates, whose value is told
};
let info; // of the dataset
let labels = new Map(); // texts of the steps of each dimension, by name, where the service has them
let colormaps; // names of all
let offered; // choices in the list of variables
let tiles; // TileJSON
let projection, map, view, mark, screen; // of OpenLayers; the screen of layers.js
const steps = new Steps($('steps'), $('step'), {
  stepped: (name, index) => restep(new Map(state.steps).set(name, index)),
  load: (name, index) => screen.load(wish(new Map(state.steps).set(name, index))),
  failed: (error) => tell(`The animation has stopped: ${error.message}.`),
});

async function start() {
  fold(window.matchMedia(PHONE).matches); // on a phone the map comes first
  $('fold').addEventListener('click', () => fold($('fold').getAttribute('aria-expanded') === 'true'));
  info = await getJson(ofDataset('info'));
  $('title').textContent = document.title = info.title ?? info.name;
  const isStepped = info.variables.some(({dimensions}) => dimensions.some(({size}) => size > 1));
  const [described, {colorMaps}] = await Promise.all([
    isStepped ? getJsonIfAny(ofDataset('dimensions')) : null,
    getJson(ofService('colorMaps')),
  ]);
  adopt(described?.dimensions ?? []);
  colormaps = new Set(colorMaps);
  let complaint = restore(given());
  const tms = tmsOfAddress ?? info.mapTileMatrixSet;
  const address = ofDataset(`${encodeURIComponent(tms)}/tilejson.json`);
  try {
    tiles = await getJson(address, pictureParams());
  } catch (error) {
    // The service may refuse what a link asks for; then the map is as it is without one.
    complaint = `This link cannot be followed: ${error.message}.`;
    restore(new URLSearchParams());
    tiles = await getJson(address, pictureParams());
  }
  $('attribution').textContent = tiles.attribution ?? '';
  fillLists();
  makeMap(tms);
  listen();
  await follow(given(), complaint);
}

/** Take over what the service says of the dimensions: the texts of their steps, and what kind they are. */
function adopt(dimensions) {
  labels = choices.labelsOf(dimensions);
  const described = new Map(dimensions.map((dimension) => [dimension.name, dimension]));
  for (const variable of info.variables) {
    variable.dimensions = variable.dimensions.map((dimension) => ({...dimension, ...described.get(dimension.name)}));
  }
}

// ---- the address

/** What the address asks for: behind the # once the page has written it, else in the parameters of a link to it. */
const given = () => new URLSearchParams(location.hash.slice(1) || location.search);

/** Take over what an address says of the picture; return what is wrong with it. */
function restore(link) {
  const complaints = [];
  let linked = null;
  offered = choices.choicesOf(info);
  try {
    linked = choices.choiceOfLink(info, link);
  } catch (error) {
    complaints.push(`This link cannot be followed: ${error.message}.`);
  }
  state.choice = linked ?? offered.find(({id}) => id === choices.NATURAL) ?? choiceOfPicture();
  state.steps = choices.stepsOfLink(link, state.choice.dimensions, labels);
  state.ranges = choices.rangesOfLink(link);
  state.colormap = link.get('colormap_name') ?? '';
  if (state.colormap && !colormaps.has(state.colormap)) {
    complaints.push(`There are no colours called ${state.colormap}.`);
    state.colormap = '';
  }
  const opacity = Number(link.get('opacity') ?? 1);
  state.opacity = opacity >= 0 && opacity <= 1 ? opacity : 1;
  state.isDirect = link.get('direct') === '1' && Boolean(info.zarr);
  state.mark = placeOf(link.get('point'));
  return complaints.join(' ');
}

/** The variable that the service shows where it is asked for none. */
function choiceOfPicture() {
  const [first] = info.picture;
  const stem = first.slice(0, first.lastIndexOf('_')); // as the service calls the rasters of a variable
  const holds = ({name, band_names: names}) => name === first || name === stem || names.includes(first);
  return offered.find(({variables}) => holds(variables[0])) ?? offered[0];
}

function placeOf(pair) {
  const numbers = (pair ?? '').split(',').map((part) => (part ? Number(part) : NaN));
  return numbers.length === 2 && numbers.every(Number.isFinite) ? numbers : null;
}

/** Show what an address says. */
async function follow(link, complaint) {
  fillControls();
  fillSteps();
  await showLegend(); // the cards have their size then, and the data fit between them
  const center = placeOf(link.get('center'));
  const zoom = Number(link.get('zoom') ?? NaN);
  if (center && Number.isFinite(zoom)) {
    view.setResolution(resolutionOf(zoom));
    view.setCenter(center);
  } else {
    showAll();
  }
  await update();
  if (complaint) {
    tell(complaint);
  }
}

/** Zoom 0 is the resolution of the first matrix, and each one halves it: the usual numbers in Web Mercator. */
const resolutionOf = (zoom) => tiles.tileMatrices[0].cellSize / 2 ** zoom;
const zoomOf = (resolution) => Math.log2(tiles.tileMatrices[0].cellSize / resolution);

/** Write what is shown into the address; nothing that goes without saying. */
function writeAddress() {
  const params = new URLSearchParams({
    center: pair(view.getCenter()),
    zoom: String(Number(zoomOf(view.getResolution()).toFixed(4))),
  });
  for (const [name, value] of pictureParams()) {
    params.append(name, value);
  }
  if (state.opacity < 1) {
    params.set('opacity', String(state.opacity));
  }
  if (state.isDirect) {
    params.set('direct', '1');
  }
  if (state.mark) {
    params.set('point', pair(state.mark));
  }
  const plain = params.toString().replace(/%(3A|2C|3D|2F)/g, decodeURIComponent);
  if (`#${plain}` !== location.hash) {
    history.replaceState(null, '', `#${plain}`);
  }
}

/** Coordinates to a hundredth of a pixel. */
function pair(place) {
  const digits = Math.min(12, Math.max(0, Math.ceil(2 - Math.log10(view.getResolution()))));
  return place.map((value) => Number(value.toFixed(digits))).join(',');
}

// ---- what is asked for

/** The ranges that are sent. Where the service has nothing to go by, it must be told one. */
function sentRanges() {
  if (state.ranges.length) {
    return choices.isSingle(state.choice) ? state.ranges.slice(0, 1) : state.ranges;
  }
  return unranged().length ? state.choice.variables.map(choices.firstRange) : [];
}

/** Variables that the service cannot stretch by itself: it has no statistics of them. */
const unranged = () => state.choice.variables.filter((variable) => !choices.defaultRange(variable));

function pictureParams(at = state.steps) {
  const params = choices.rasterParams(state.choice, at, labels);
  for (const [name, value] of choices.colourParams(state.choice, sentRanges(), state.colormap)) {
    params.append(name, value);
  }
  return params;
}

/** What the screen is to show; see layers.js. */
function wish(at = state.steps) {
  const query = pictureParams(at).toString();
  if (!state.isDirect) {
    return {key: query, query, isLossless: choices.isSingle(state.choice)};
  }
  const {variables, dimensions} = state.choice;
  const sent = sentRanges();
  const direct = {
    variables,
    steps: dimensions.map(({name}) => [name, at.get(name) ?? 0]),
    ranges: variables.map((variable, index) => sent[index] ?? sent[0] ?? choices.firstRange(variable)),
    colormap: choices.isSingle(state.choice) ? state.colormap : '',
  };
  const form = JSON.stringify([variables.map(({name}) => name), direct.ranges, direct.colormap]);
  return {key: `${form} ${query}`, form, direct};
}

/** Show another picture. */
async function update() {
  tell('');
  if (unranged().length && !state.ranges.length) {
    const {choice} = state;
    await look();
    if (state.choice !== choice) {
      return; // another one has been chosen meanwhile
    }
  }
  fillControls();
  showLegend();
  screen.setOpacity(state.opacity);
  await restep(state.steps);
}

/** Have the service look at a coarse level, where the store tells nothing of the range of values. */
async function look() {
  for (const variable of unranged().filter(({seen}) => seen === undefined)) {
    tell('The store has no statistics of these values: looking at them …');
    const params = choices.rasterParams({...state.choice, id: '', variables: [variable]}, state.steps, labels);
    params.set('max_size', '512');
    variable.seen = choices.rangeSeen(await getJson(ofDataset('statistics'), params).catch(() => ({})));
  }
  tell(unranged().some(({seen}) => !seen) ? 'The store has no statistics of these values: set their range.' : '');
}

/** Show other steps of the same picture. */
async function restep(at, show = () => screen.show(wish())) {
  state.steps = at;
  fillSteps();
  writeAddress();
  readMark();
  try {
    showBusy({isChanging: true});
    await show();
  } catch (error) {
    tell(`This cannot be shown: ${error.message}.`);
    if (state.isDirect) {
      state.isDirect = false;
      fillControls();
      await restep(state.steps);
    }
  } finally {
    showBusy({isChanging: false});
  }
}

// ---- the map

function makeMap(tms) {
  projection = projectionOf(tiles);
  // Round the Earth the map goes on; elsewhere its middle stays in the set.
  const [xmin, ymin, xmax, ymax] = projection.getExtent();
  const extent = projection.isGlobal() ? [-Infinity, ymin, Infinity, ymax] : [xmin, ymin, xmax, ymax];
  view = new View({
    projection,
    center: [0, 0],
    resolution: resolutionOf(0),
    minResolution: servedMatrices(tiles).at(-1).cellSize / 64,
    maxResolution: resolutionOf(-2),
    enableRotation: false,
    extent,
    constrainOnlyCenter: true,
  });
  const whole = new ZoomToExtent({extent: tiles.bbox, label: '⌂', tipLabel: 'Show everything'});
  whole.handleZoomToExtent = () => showAll({isAnimated: true});
  const dot = Object.assign(document.createElement('div'), {className: 'mark'});
  mark = new Overlay({element: dot, positioning: 'center-center', stopEvent: false});
  map = new OlMap({
    target: 'map',
    view,
    controls: [new Zoom(), whole, new ScaleLine({target: 'scale'})],
    interactions: defaultInteractions({altShiftDragRotate: false, pinchRotate: false}),
    overlays: [mark],
  });
  screen = new Screen(map, new Layers(tms, tiles, projection), showFailures);
  const keys = 'Arrow keys move, plus and minus zoom, 0 shows everything, Enter reads the value in the middle.';
  $('map').setAttribute('aria-label', `Map of ${info.name}. ${keys}`);
}

/** Fit the data between the cards. */
function showAll({isAnimated = false} = {}) {
  const [panel, foot] = [$('panel').getBoundingClientRect(), $('foot').getBoundingClientRect()];
  const isNarrow = panel.width > innerWidth / 2;
  const padding = [isNarrow ? panel.bottom + 8 : 10, 64, innerHeight - foot.top, isNarrow ? 10 : panel.right + 10];
  const isStill = window.matchMedia('(prefers-reduced-motion: reduce)').matches;
  view.fit(tiles.bbox, {padding, duration: isAnimated && !isStill ? 250 : 0});
}

function listen() {
  map.on('moveend', writeAddress);
  map.on('loadstart', () => showBusy({isLoading: true}));
  map.on('loadend', () => showBusy({isLoading: false}));
  // Not on OpenLayers' own `click`, which is dropped where the canvas that was pressed has made way for the next step.
  let [pressed, click] = [null, 0];
  const viewport = map.getViewport();
  viewport.addEventListener('pointerdown', (event) => {
    const isMap = !event.target.closest('.ol-overlaycontainer-stopevent');
    pressed = isMap && event.isPrimary && event.button === 0 ? event : null;
  });
  viewport.addEventListener('pointerup', (event) => {
    const moved = pressed ? Math.hypot(event.clientX - pressed.clientX, event.clientY - pressed.clientY) : Infinity;
    pressed = null;
    if (moved > STILL) {
      return;
    }
    if (click) {
      clearTimeout(click); // the second one of two, which zooms
      click = 0;
      return;
    }
    const place = map.getEventCoordinate(event);
    click = setTimeout(() => {
      click = 0;
      putMark(place);
    }, DOUBLE);
  });
  map.on('pointermove', ({coordinate, dragging}) => {
    if (!dragging) {
      $('place').textContent = placeText(wrapped(coordinate));
    }
  });
  $('map').addEventListener('pointerleave', () => ($('place').textContent = ''));
  $('map').addEventListener('keydown', (event) => {
    const actions = {
      Enter: () => putMark(view.getCenter()),
      Escape: () => putMark(null),
      0: () => showAll({isAnimated: true}),
    };
    if (event.target === $('map') && actions[event.key]) {
      event.preventDefault();
      actions[event.key]();
    }
  });
  window.addEventListener('hashchange', () => follow(given(), restore(given())));
  $('again').addEventListener('click', () => restep(state.steps, () => screen.reload()));
  $('controls').addEventListener('submit', (event) => event.preventDefault());
  $('variable').addEventListener('change', chooseVariable);
  THREE.forEach((id, at) => $(id).addEventListener('change', () => chooseColour(at)));
  for (const id of ['colormap', 'reverse']) {
    $(id).addEventListener('change', chooseColours);
  }
  for (const id of ['low', 'high']) {
    $(id).addEventListener('change', chooseRange);
  }
  $('reset').addEventListener('click', () => {
    state.ranges = [];
    update();
  });
  $('opacity').addEventListener('input', () => {
    state.opacity = Number($('opacity').value) / 100;
    screen.setOpacity(state.opacity);
    writeAddress();
  });
  $('direct').addEventListener('change', () => {
    state.isDirect = $('direct').checked;
    update();
  });
}

/** A place of a map that goes round the Earth, as it is in the first round. */
const wrapped = (place) => (projection.isGlobal() ? wrapX(place.slice(), projection) : place);

function placeText(place) {
  const resolution = view.getResolution();
  if (projection.getUnits() === 'degrees') {
    return text.degrees(place, resolution);
  }
  const metres = text.coordinates(place, resolution, tiles.unit);
  return isWebMercator(projection) ? `${text.degrees(toLonLat(place), resolution / 111_000)} (${metres})` : metres;
}

// ---- the value at a place

function putMark(place) {
  state.mark = place && wrapped(place);
  writeAddress();
  readMark();
}

let readings = 0;

async function readMark() {
  const reading = ++readings;
  const place = state.mark;
  mark.setPosition(place ?? undefined);
  if (!place) {
    $('reading').hidden = true;
    return;
  }
  let parts;
  try {
    if (!tiles.crs) {
      throw new Error('the CRS of this map has no code to ask by');
    }
    const params = choices.rasterParams(state.choice, state.steps, labels);
    params.set('coord_crs', tiles.crs);
    parts = valuesOf(await getJson(ofDataset(`point/${place.join(',')}`), params));
  } catch (error) {
    parts = [error.status === 404 ? 'Outside the data' : `No value: ${error.message}`];
  }
  if (reading === readings) {
    const where = Object.assign(document.createElement('p'), {className: 'where', textContent: placeText(place)});
    $('reading').replaceChildren(...parts, where);
    $('reading').hidden = false;
  }
}

/** Say the values of bands, as they are meant and not as they are packed. */
function valuesOf({values, band_descriptions: names}) {
  return values.map((value, index) => {
    const {variables} = state.choice;
    const variable = variables[index] ?? variables[0] ?? info.variables.find(({name}) => name === names[index]);
    const textContent = value === null ? 'no data' : meant(variable, value);
    const line = document.createElement('p');
    line.append(values.length > 1 ? `${names[index]} ` : '', Object.assign(document.createElement('b'), {textContent}));
    return line;
  });
}

function meant(variable, value) {
  const isNumber = variable && typeof value === 'number';
  return text.number(isNumber ? choices.unpacked(variable, value) : value) + text.unitText(variable?.units);
}

// ---- what stands around the map

/** Say something that concerns the whole map, until something else is chosen. */
function tell(message) {
  $('status').textContent = message;
}

const busy = {isLoading: false, isChanging: false};

function showBusy(change) {
  Object.assign(busy, change);
  const isBusy = busy.isLoading || busy.isChanging;
  $('map').setAttribute('aria-busy', String(isBusy));
  $('busy').hidden = !isBusy;
}

function showFailures({failed, reason}) {
  $('failures').textContent = failed ? `${failed} tile${failed > 1 ? 's' : ''} could not be loaded: ${reason}.` : '';
  $('again').hidden = !failed;
}

function fold(isFolded) {
  $('controls').hidden = isFolded;
  $('fold').setAttribute('aria-expanded', String(!isFolded));
}

function fillLists() {
  const names = info.variables.map(({name, long_name: label}) => new Option(label || name, name));
  for (const id of THREE) {
    $(id).replaceChildren(...names.map((option) => option.cloneNode(true)));
  }
  const plain = [...colormaps].filter((name) => !name.endsWith('_r') || !colormaps.has(name.slice(0, -2)));
  const common = COMMON.filter((name) => colormaps.has(name));
  const group = (label, members) => {
    const element = Object.assign(document.createElement('optgroup'), {label});
    element.append(...members.map((name) => new Option(name, name)));
    return element;
  };
  const others = plain.filter((name) => !common.includes(name));
  $('colormap').replaceChildren(new Option('grey', ''), group('Common', common), group('All others', others));
  $('direct-field').hidden = !info.zarr;
}

/** Bring the controls to where the state is. */
function fillControls() {
  const {choice} = state;
  const isSingle = choices.isSingle(choice);
  const options = offered.map(({id, label}) => new Option(label, id));
  if (info.variables.length >= 3) {
    options.push(new Option('Red, green and blue of …', choices.THREE));
  }
  if (choice.id === choices.LINKED) {
    options.push(new Option(choice.label, choices.LINKED));
  }
  $('variable').replaceChildren(...options);
  $('variable').value = choice.id;
  $('three').hidden = choice.id !== choices.THREE;
  if (choice.id === choices.THREE) {
    THREE.forEach((id, index) => ($(id).value = choice.variables[index].name));
  }
  $('colormap-field').hidden = $('reverse-field').hidden = !isSingle;
  const isReversed = state.colormap.endsWith('_r') && colormaps.has(state.colormap.slice(0, -2));
  $('colormap').value = isReversed ? state.colormap.slice(0, -2) : state.colormap;
  $('reverse').checked = isReversed;
  $('reverse').disabled = !colormaps.has(`${$('colormap').value}_r`);
  fillRange(isSingle ? state.ranges[0] ?? choices.firstRange(choice.variables[0]) : commonRange());
  $('opacity').value = Math.round(state.opacity * 100);
  const hindrance = info.crs === tiles.crs ? choices.whyNotDirect(choice) : 'The map is in another CRS than the store';
  $('direct').checked = state.isDirect && !hindrance;
  $('direct').disabled = Boolean(hindrance);
  $('direct-field').title = hindrance;
  state.isDirect &&= !hindrance;
}

/** The range of all three bands, where they have one in common. */
const commonRange = () => (state.ranges.length === 1 ? state.ranges[0] : null);

function fillRange(range) {
  const ends = range ? shownRange(range).map(text.typed) : ['', ''];
  ['low', 'high'].forEach((id, index) => {
    $(id).value = ends[index];
    $(id).placeholder = range ? '' : 'as stored';
    $(id).removeAttribute('aria-invalid');
  });
  $('reset').disabled = !state.ranges.length;
}

/** A range as it is meant: of a packed variable that is not as it is stored. */
function shownRange(range) {
  const [variable] = state.choice.variables;
  return variable && choices.isSingle(state.choice) ? choices.ordered(range.map((end) => choices.unpacked(variable, end))) : range;
}

function chooseVariable() {
  const {value} = $('variable');
  const {variables} = state.choice;
  if (value === choices.THREE) {
    state.choice = choices.choiceOfThree(variables.length === 3 ? variables : info.variables.slice(0, 3));
  } else {
    state.choice = offered.find(({id}) => id === value) ?? state.choice;
  }
  state.ranges = [];
  update();
}

/** Choose one of three variables. None is shown twice: one that is shown already changes places. */
function chooseColour(at) {
  const variables = state.choice.variables.slice();
  const chosen = info.variables.find(({name}) => name === $(THREE[at]).value);
  const other = variables.indexOf(chosen);
  if (other >= 0) {
    variables[other] = variables[at];
  }
  variables[at] = chosen;
  state.choice = choices.choiceOfThree(variables);
  state.ranges = [];
  update();
}

function chooseColours() {
  const {value} = $('colormap');
  const reversed = `${value}_r`;
  state.colormap = $('reverse').checked && colormaps.has(reversed) ? reversed : value;
  update();
}

function chooseRange() {
  const ends = [$('low'), $('high')].map(({value}) => value.trim());
  const numbers = ends.map(text.parsed);
  if (ends.every((end) => !end)) {
    state.ranges = [];
  } else if (numbers.every(Number.isFinite) && numbers[0] < numbers[1]) {
    const [variable] = state.choice.variables;
    const isPacked = variable && choices.isSingle(state.choice);
    state.ranges = [isPacked ? choices.ordered(numbers.map((end) => choices.packed(variable, end))) : numbers];
  } else {
    ['low', 'high'].forEach((id) => $(id).setAttribute('aria-invalid', 'true'));
    tell('A range goes from one number to a greater one.');
    return;
  }
  update();
}

function fillSteps() {
  steps.show(state.choice.dimensions, state.steps, stepText);
}

function stepText({name, size}, index) {
  const [{band_names: names}] = state.choice.variables;
  const isNamed = names.length === size && state.choice.dimensions.length === 1;
  return labels.get(name)?.[index] ?? (isNamed ? names[index] : `${index + 1} of ${size}`);
}

let legend = ''; // the one that is shown, or will be

async function showLegend() {
  const {choice} = state;
  const [variable] = choice.variables;
  const params = choices.colourParams(choice, sentRanges(), state.colormap);
  params.set('variable', variable?.name ?? '');
  const wanted = choices.isSingle(choice) ? params.toString() : 'none';
  if (wanted === legend) {
    return;
  }
  legend = wanted;
  $('legend').hidden ||= wanted === 'none';
  if (wanted === 'none') {
    return;
  }
  let found;
  try {
    found = await legendOf(params, state.colormap);
  } catch (error) {
    tell(`There is no legend: ${error.message}.`);
  }
  if (!found || wanted !== legend) {
    return;
  }
  const range = sentRanges()[0] ?? choices.firstRange(variable);
  const ends = found.low === undefined ? shownEnds(variable, range) : [found.low, found.high];
  $('ramp').hidden = $('ends').hidden = Boolean(found.entries);
  $('classes').hidden = !found.entries;
  if (found.entries) {
    listClasses($('classes'), found.entries);
  } else {
    drawRamp($('ramp'), found.colours);
  }
  $('legend-low').textContent = text.number(ends[0], 5);
  $('legend-high').textContent = text.number(ends[1], 5);
  const units = text.unitText(found.units ?? variable.units).trim();
  $('legend-name').textContent = (variable.long_name || variable.name) + (units && ` (${units})`);
  $('legend').hidden = false;
}

/** Ends of a legend, from left to right; the greater one comes first where the scale is negative. */
const shownEnds = (variable, range) => range.map((end) => choices.unpacked(variable, end));

start().catch((error) => {
  $('title').textContent = 'This map cannot be shown';
  tell(error.message);
  showBusy({isLoading: false, isChanging: false});
});
