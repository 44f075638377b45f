// Serve stores and a page on loopback, open the page in Chromium, and put it one question a store.
import fs from 'node:fs';
import http from 'node:http';
import {createRequire} from 'node:module';
import path from 'node:path';
import {fileURLToPath} from 'node:url';

const HERE = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(path.join(process.env.NODE_MODULES, 'none.js'));
const esbuild = require('esbuild');
const puppeteer = require('puppeteer-core');

const FLAGS = [
  '--no-sandbox',
  '--use-angle=swiftshader',
  '--enable-unsafe-swiftshader',
  '--ignore-gpu-blocklist',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];
const PER_PAGE = 12; // stores a page is asked about before it is loaded anew: contexts of WebGL are few
const LIMIT = 40_000; // milliseconds for one store

export async function main(page) {
  const jobs = fs
    .readFileSync(process.argv[2], 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line));
  const bundle = await esbuild.build({
    entryPoints: [path.join(HERE, 'pages', page)],
    bundle: true,
    write: false,
    format: 'iife',
    nodePaths: [process.env.NODE_MODULES],
    logLevel: 'error',
  });
  const stores = new Map(jobs.map((job) => [job.name, job.path]));
  const server = http.createServer((request, response) => answer(request, response, bundle.outputFiles[0].text, stores));
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const base = `http://127.0.0.1:${server.address().port}`;
  const {default: launcher = puppeteer} = puppeteer;
  const browser = await launcher.launch({executablePath: process.env.CHROMIUM, headless: true, args: FLAGS});
  console.log(JSON.stringify({ready: true}));
  let tab = null;
  for (const [index, job] of jobs.entries()) {
    if (tab === null || index % PER_PAGE === 0) {
      await tab?.close().catch(() => {});
      tab = await browser.newPage();
      await tab.setViewport({width: 700, height: 700});
      tab.on('console', (message) => process.env.VERBOSE && console.error(message.text()));
      await tab.goto(`${base}/page.html`);
    }
    const question = {...job, url: [`${base}/stores/${job.name}`, job.group].filter(Boolean).join('/')};
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${LIMIT / 1000} s`)), LIMIT);
    });
    let facts;
    try {
      facts = await Promise.race([tab.evaluate((asked) => window.probe(asked), question), late]);
    } catch (error) {
      facts = {error: String(error.message ?? error).split('\n')[0].slice(0, 300).replaceAll(base, '')};
      await tab.close().catch(() => {});
      tab = null;
    }
    clearTimeout(timer);
    console.log(JSON.stringify({store: job.name, facts}));
  }
  await browser.close();
  server.close();
  process.exit(0);
}

function answer(request, response, script, stores) {
  const headers = {
    'Access-Control-Allow-Origin': '*',
    'Access-Control-Allow-Headers': 'Range',
    'Access-Control-Expose-Headers': 'Content-Length, Content-Range, ETag',
    'Accept-Ranges': 'bytes',
  };
  const {pathname} = new URL(request.url, 'http://localhost');
  if (request.method === 'OPTIONS') {
    return response.writeHead(204, headers).end();
  }
  if (pathname === '/page.html') {
    const page =
      '<!doctype html><meta charset="utf-8"><style>html,body{margin:0}#map{width:640px;height:600px}</style>' +
      '<div id="map"></div><script src="/script.js"></script>';
    return response.writeHead(200, {'Content-Type': 'text/html', ...headers}).end(page);
  }
  if (pathname === '/script.js') {
    return response.writeHead(200, {'Content-Type': 'text/javascript', ...headers}).end(script);
  }
  const [, top, name, ...rest] = decodeURIComponent(pathname).split('/');
  const file = top === 'stores' && stores.has(name) ? path.join(stores.get(name), ...rest) : '';
  if (!file || rest.includes('..') || !fs.existsSync(file) || !fs.statSync(file).isFile()) {
    return response.writeHead(404, headers).end();
  }
  const data = fs.readFileSync(file);
  const asked = /^bytes=(\d*)-(\d*)$/.exec(request.headers.range ?? '');
  let [status, first, last] = [200, 0, data.length - 1];
  if (asked && (asked[1] || asked[2])) {
    status = 206;
    first = asked[1] ? Number(asked[1]) : Math.max(0, data.length - Number(asked[2]));
    last = asked[1] && asked[2] ? Math.min(Number(asked[2]), last) : last;
    headers['Content-Range'] = `bytes ${first}-${last}/${data.length}`;
  }
  headers['Content-Length'] = last - first + 1;
  response.writeHead(status, headers).end(request.method === 'HEAD' ? undefined : data.subarray(first, last + 1));
}
