// What can be shown and how it is asked for: no page, no network.

/**
 * What a picture is made of.
 * @typedef {Object} Choice
 * @property {string} id Value in the list of variables: '' natural colours, '*' three variables, '=' bands of a link,
 *     else the name of a variable.
 * @property {string} label For people.
 * @property {Array<Object>} variables As `info` describes them; empty where the service chooses.
 * @property {Array<number>} bidx Positions that a link has named; empty where the sliders say them.
 * @property {Array<{name: string, size: number}>} dimensions What the sliders choose.
 */

export const NATURAL = '';
export const THREE = '*';
export const LINKED = '=';

/** The choices that a dataset offers, before any link. */
export function choicesOf(info) {
  const choices = info.variables.map((variable) => ({
    id: variable.name,
    label: variable.long_name || variable.name,
    variables: [variable],
    bidx: [],
    dimensions: steppable([variable]),
  }));
  if (info.picture.length === 3) {
    const named = info.picture.map((name) => info.variables.find((variable) => variable.name === name));
    const variables = named.every(Boolean) ? named : [];
    choices.unshift({
      id: NATURAL,
      label: 'Natural colours',
      variables,
      bidx: [],
      dimensions: variables.length ? steppable(variables) : [],
    });
  }
  return choices;
}

/** The choice that shows three variables as red, green and blue. */
export function choiceOfThree(variables) {
  const label = variables.map((variable) => variable.name).join(', ');
  return {id: THREE, label, variables, bidx: [], dimensions: steppable(variables)};
}

/** The choice that a link makes; null where it makes none. Throws where it names what is not there. */
export function choiceOfLink(info, given) {
  const names = given.getAll('variable').flatMap((text) => text.split(','));
  const bidx = given.getAll('bidx').flatMap((text) => text.split(',')).map(Number);
  const variables = names.map((name) => info.variables.find((variable) => variable.name === name));
  const unknown = names.filter((_, index) => !variables[index]);
  if (unknown.length) {
    throw new Error(`there is no variable ${unknown.join(', ')}`);
  }
  if (bidx.length > 1) {
    const shown = variables.length ? variables : [info.variables[0]];
    const label = `${shown.map((variable) => variable.name).join(', ')} ${bidx.join(', ')}`;
    return {id: LINKED, label, variables: shown, bidx, dimensions: []};
  }
  if (variables.length === 3) {
    return choiceOfThree(variables);
  }
  if (!names.length && !bidx.length) {
    return null;
  }
  return choicesOf(info).find(({id}) => id === (names[0] ?? info.variables[0].name));
}

/** Leading dimensions with more than one step, time first; none where variables differ in theirs. */
function steppable(variables) {
  const [first, ...others] = variables.map((variable) => variable.dimensions.filter(({size}) => size > 1));
  const isSame = (other) =>
    other.length === first.length && other.every(({name, size}, i) => name === first[i].name && size === first[i].size);
  return others.every(isSame) ? first : [];
}

/** Sliders in the order in which they stand: time first. */
export const timeFirst = (dimensions) => dimensions.toSorted((a, b) => Number(isTime(b)) - Number(isTime(a)));

export const isTime = (dimension) => dimension.kind === 'time' || dimension.name === 'time';

/** What a picture costs in bands: one, or red, green and blue. */
export const isSingle = (choice) => choice.variables.length === 1 && choice.bidx.length < 2;

/**
 * Texts by which steps can be asked for, by name of the dimension; null where a step has none of its own.
 * @param {Array<Object>} dimensions As the service describes them.
 */
export function labelsOf(dimensions) {
  const named = dimensions.filter(({kind, labels}) => kind !== 'index' && labels?.length);
  return new Map(
    named.map(({name, labels}) => {
      const counts = new Map();
      labels.forEach((text) => counts.set(text, (counts.get(text) ?? 0) + 1));
      return [name, labels.map((text) => (text !== null && counts.get(text) === 1 ? String(text) : null))];
    }),
  );
}

/** Parameters that say which rasters are meant, for tiles and values alike. */
export function rasterParams(choice, steps, labels) {
  const params = new URLSearchParams();
  // A service chooses natural colours by itself; named variables are needed only to step through them.
  if (choice.id !== NATURAL || choice.dimensions.length) {
    choice.variables.forEach((variable) => params.append('variable', variable.name));
  }
  if (choice.bidx.length) {
    params.set('bidx', choice.bidx.join(','));
    return params;
  }
  // By label where there is one, which outlives steps that are added; `bidx` counts over the others.
  const labelOf = ({name}) => labels.get(name)?.[steps.get(name) ?? 0] ?? null;
  for (const dimension of choice.dimensions) {
    if (labelOf(dimension) !== null) {
      params.append('sel', `${dimension.name}=exact::${labelOf(dimension)}`);
    }
  }
  const others = choice.dimensions.filter((dimension) => labelOf(dimension) === null);
  if (others.length) {
    params.set('bidx', String(1 + flatIndex(others, steps)));
  }
  return params;
}

/** Position in C order, from 0. */
function flatIndex(dimensions, steps) {
  return dimensions.reduce((index, {name, size}) => index * size + (steps.get(name) ?? 0), 0);
}

/** Steps that a link names, as far as they exist. */
export function stepsOfLink(given, dimensions, labels) {
  const steps = new Map();
  for (const text of given.getAll('sel')) {
    const [, name, label] = text.match(/^([^=]+)=(?:[a-z]+::)?(.*)$/) ?? [];
    const index = labels.get(name)?.indexOf(label) ?? -1;
    if (index >= 0) {
      steps.set(name, index);
    }
  }
  const bidx = given.getAll('bidx').flatMap((text) => text.split(',')).map(Number);
  if (bidx.length === 1 && bidx[0] >= 1 && Number.isInteger(bidx[0])) {
    let rest = bidx[0] - 1;
    for (const {name, size} of dimensions.filter(({name}) => !steps.has(name)).toReversed()) {
      steps.set(name, rest % size);
      rest = Math.floor(rest / size);
    }
  }
  return steps;
}

/** Parameters that say how it is coloured. */
export function colourParams(choice, ranges, colormap) {
  const params = new URLSearchParams();
  ranges.forEach(([low, high]) => params.append('rescale', `${low},${high}`));
  if (colormap && isSingle(choice)) {
    params.set('colormap_name', colormap);
  }
  return params;
}

/** Ranges that a link names, in stored values. */
export function rangesOfLink(given) {
  const ranges = given.getAll('rescale').map((text) => text.split(',').map(Number));
  return ranges.filter(([low, high]) => low < high);
}

const WHOLE = {
  int8: [-128, 127], int16: [-32768, 32767], uint16: [0, 65535], int32: [-(2 ** 31), 2 ** 31 - 1], uint32: [0, 2 ** 32 - 1],
};

/** The range that the service stretches a variable over by itself; null where it has none to go by. */
export function defaultRange({dtype, statistics}) {
  if (dtype === 'uint8') {
    return [0, 255];
  }
  if (dtype === 'bool') {
    return [0, 1];
  }
  if (statistics) {
    const {min, max, p2, p98} = statistics;
    return p2 < p98 ? [p2, p98] : min < max ? [min, max] : [min, min + 1];
  }
  return WHOLE[dtype] ?? null;
}

/** The range that a variable is shown over at first: 0 to 1 where nothing at all is known of its values. */
export const firstRange = (variable) => defaultRange(variable) ?? variable.seen ?? [0, 1];

/** The range that holds those of all bands that the service has looked at; null where they have no values. */
export function rangeSeen(statistics) {
  const ranges = Object.values(statistics)
    .filter(({valid_pixels: count}) => count > 0)
    .map(({min, max, percentile_2: p2, percentile_98: p98}) => defaultRange({statistics: {min, max, p2, p98}}));
  return ranges.length ? [Math.min(...ranges.map(([low]) => low)), Math.max(...ranges.map(([, high]) => high))] : null;
}

/** Stored values as they are meant (CF 8.1), and back. */
export const unpacked = (variable, value) => value * variable.scale_factor + variable.add_offset;
export const packed = (variable, value) => (value - variable.add_offset) / variable.scale_factor;

/** A range the other way round where the scale is negative. */
export const ordered = ([low, high]) => (low <= high ? [low, high] : [high, low]);

// What OpenLayers' reader turns into float32: whole numbers of 64 bits are none of JavaScript's numbers.
const READABLE = ['int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32', 'float16', 'float32', 'float64'];

/** Why a choice cannot be read in the browser; '' where it can. */
export function whyNotDirect(choice) {
  if (!choice.variables.length || choice.bidx.length) {
    return 'Only pictures of variables by their names can be read in the browser';
  }
  const other = choice.variables.find(({dtype}) => !READABLE.includes(dtype));
  return other ? `Values of type ${other.dtype} cannot be read in the browser` : '';
}
