// Makes tiler/static/vendor: two entry points, the pieces they share or load later, their style sheet and licences.
import {readdir, readFile, rm, stat, writeFile} from 'node:fs/promises';
import path from 'node:path';
import {fileURLToPath} from 'node:url';
import {build} from 'esbuild';

const here = path.dirname(fileURLToPath(import.meta.url));
const vendor = path.join(here, '..', 'tiler', 'static', 'vendor');
const CODECS = ['blosc', 'lz4', 'zstd']; // ours in the place of numcodecs'; why stands in codecs/blosc.js

await rm(vendor, {recursive: true, force: true});
const {metafile} = await build({
  absWorkingDir: here,
  entryPoints: ['ol.js', 'geozarr.js', 'node_modules/ol/ol.css'],
  entryNames: '[name]',
  chunkNames: '[name]-[hash]',
  outdir: vendor,
  bundle: true,
  splitting: true,
  format: 'esm',
  target: ['es2022'],
  minify: true,
  legalComments: 'none', // they are all in LICENSES.txt
  alias: Object.fromEntries(CODECS.map((name) => [`numcodecs/${name}`, path.join(here, 'codecs', `${name}.js`)])),
  metafile: true,
});

await writeFile(path.join(vendor, 'LICENSES.txt'), await licences(packagesOf(metafile)));
for (const name of (await readdir(vendor)).sort()) {
  console.log(String((await stat(path.join(vendor, name))).size).padStart(8), name);
}

// Packages of which any byte is in the bundle, by folder.
function packagesOf(metafile) {
  const found = new Set();
  for (const output of Object.values(metafile.outputs)) {
    for (const [file, {bytesInOutput}] of Object.entries(output.inputs)) {
      const inside = file.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//);
      if (inside && bytesInOutput > 0) {
        found.add(inside[1]);
      }
    }
  }
  return [...found].sort();
}

// A part for each package.
async function licences(names) {
  const parts = [];
  for (const name of names) {
    const folder = path.join(here, 'node_modules', name);
    const {version, license} = JSON.parse(await readFile(path.join(folder, 'package.json'), 'utf8'));
    const file = (await readdir(folder)).find((entry) => /^licen[cs]e/i.test(entry));
    parts.push([`${name} ${version} (${license})`, await readFile(path.join(folder, file), 'utf8')]);
  }
  const head = 'Licences of the packages that are bundled in this folder. The codecs are this project\'s own.\n';
  const rule = '='.repeat(80);
  const body = parts.map(([title, text]) => `${rule}\n${title}\n${rule}\n\n${text.trim()}\n`);
  return [head, ...body].join('\n').replace(/[ \t\r]+$/gm, '');
}
