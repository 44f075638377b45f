// OpenLayers: its GeoZarr source in a map.
import {main} from './browser.mjs';

await main('openlayers.js');
