// zarr-layer in MapLibre.
import {main} from './browser.mjs';

await main('zarr_layer.js');
