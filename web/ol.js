// What the map page needs of OpenLayers to show tiles.
export {default as Map} from 'ol/Map.js';
export {default as Overlay} from 'ol/Overlay.js';
export {default as View} from 'ol/View.js';
export {default as ScaleLine} from 'ol/control/ScaleLine.js';
export {default as Zoom} from 'ol/control/Zoom.js';
export {default as ZoomToExtent} from 'ol/control/ZoomToExtent.js';
export {wrapX} from 'ol/coordinate.js';
export {defaults as defaultInteractions} from 'ol/interaction/defaults.js';
export {default as TileLayer} from 'ol/layer/Tile.js';
export {get as getProjection, toLonLat} from 'ol/proj.js';
export {default as Projection} from 'ol/proj/Projection.js';
export {default as ImageTile} from 'ol/source/ImageTile.js';
export {default as TileGrid} from 'ol/tilegrid/TileGrid.js';
