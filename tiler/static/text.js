// Numbers and places as people read them.

/** A number; a fraction with as many digits as a float32 has, or fewer. */
export function number(value, digits = 7) {
  if (typeof value !== 'number' || !Number.isFinite(value)) {
    return String(value);
  }
  return rounded(value, digits).replace('-', '−');
}

/** A number as it is typed, and may be typed again. */
export const typed = (value) => rounded(value, 6);

const rounded = (value, digits) => String(Number.isInteger(value) ? value : Number(value.toPrecision(digits)));

/** A typed number; NaN for anything else. A comma is taken for a point, and a minus sign for a hyphen. */
export function parsed(text) {
  const plain = text.trim().replace(',', '.').replace('−', '-');
  return plain ? Number(plain) : NaN;
}

/** Units as they follow a number; what has none is written "1" in CF. */
export const unitText = (units) => (units && units !== '1' ? ` ${units}` : '');

/** Degrees with a letter for the direction. */
export function degrees([longitude, latitude], resolution = 0) {
  const digits = decimals(resolution, 5);
  const east = `${Math.abs(longitude).toFixed(digits)}° ${longitude < 0 ? 'W' : 'E'}`;
  return `${Math.abs(latitude).toFixed(digits)}° ${latitude < 0 ? 'S' : 'N'}, ${east}`;
}

/** Coordinates of any CRS, as precise as a pixel is. */
export function coordinates(place, resolution, unit) {
  const digits = decimals(resolution, 3);
  const texts = place.map((value) => value.toFixed(digits).replace(/^-/, '−'));
  return `${texts.join(', ')}${unit === 'degree' ? '°' : ` ${unit}`}`;
}

const decimals = (resolution, most) => (resolution > 0 ? Math.min(most, Math.max(0, Math.ceil(-Math.log10(resolution)))) : most);
