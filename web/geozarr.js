// What the map page needs beside to read a store itself; loaded when that is switched on.
export {default as WebGLTileLayer} from 'ol/layer/WebGLTile.js';
export {default as GeoZarr} from 'ol/source/GeoZarr.js';
