// The service as the page sees it: addresses, documents, tiles.

// All addresses are taken from the page's own, /{dataset}/map or /{dataset}/{tms}/map.html, so that it works behind any
// proxy, whatever that puts before them.
const ofTms = location.pathname.match(/\/([^/]+)\/map\.html$/);
const dataset = new URL(ofTms ? '../' : './', location.origin + location.pathname);
const root = new URL('../', dataset);

/** The TileMatrixSet that the page's address names; null where the dataset is to choose. */
export const tmsOfAddress = ofTms && decodeURIComponent(ofTms[1]);

/** A request that the service has refused, or could not answer. */
export class ServiceError extends Error {
  constructor(detail, status) {
    super(detail);
    this.status = status;
  }
}

/** Address of something of the dataset. */
export const ofDataset = (path) => new URL(path, dataset).href;

/** Address of something of the whole service. */
export const ofService = (path) => new URL(path, root).href;

/** Read a document; a ServiceError says why there is none. */
export async function getJson(address, params = new URLSearchParams()) {
  const text = params.toString();
  let response;
  try {
    response = await fetch(text ? `${address}?${text}` : address);
  } catch {
    throw new ServiceError('the service cannot be reached', 0);
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new ServiceError(body.detail ?? `the service answered ${response.status}`, response.status);
  }
  return body;
}

/** Read a document that a service may be too old to have; null where there is none. */
export async function getJsonIfAny(address, params) {
  try {
    return await getJson(address, params);
  } catch (error) {
    if (error.status === 404) {
      return null;
    }
    throw error;
  }
}

const TRIES = 3;

/** Read a tile as something that can be drawn. Where the data end there is none, which is no error. */
export async function getTile(address, signal) {
  for (let tries = 1; ; tries++) {
    const response = await fetch(address, {signal});
    if (response.ok) {
      return createImageBitmap(await response.blob());
    }
    if (response.status === 404) {
      return new OffscreenCanvas(1, 1).transferToImageBitmap();
    }
    if (response.status !== 503 || tries === TRIES) {
      const body = await response.json().catch(() => ({}));
      throw new ServiceError(body.detail ?? `the service answered ${response.status}`, response.status);
    }
    // Too busy: it says for how long.
    const seconds = Math.min(Number(response.headers.get('Retry-After')) || 1, 10);
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds * (1 + Math.random())));
    signal.throwIfAborted();
  }
}
