// Decompression of Blosc chunks: README_CHUNK_FORMAT.rst and blosc.c of c-blosc 1.21.
//
// Stands in for numcodecs/blosc. That is c-blosc compiled to 600 KB of WebAssembly, and its glue makes functions of
// strings, which the page's content security policy rightly forbids.
import {decompress as unzstd} from 'fzstd';
import {unlz4} from './lz4.js';

const HEADER = 16; // bytes
const MOST = 2 ** 28; // bytes of a chunk; four times what the service serves
const MAX_SPLITS = 16; // bytes of a cell, up to which blocks may be split into its bytes
const MIN_BUFFER = 128; // bytes of such a split
const SHUFFLED = 1;
const COPIED = 2;
const BIT_SHUFFLED = 4;
const NOT_SPLIT = 16;
const COMPRESSORS = ['blosclz', 'lz4', 'snappy', 'zlib', 'zstd'];

export default class Blosc {
  static codecId = 'blosc';

  static fromConfig() {
    return new Blosc();
  }

  encode() {
    throw new Error('chunks are only read here');
  }

  decode(data) {
    return decode(data);
  }
}

async function decode(data) {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const flags = view.getUint8(2);
  const cellSize = view.getUint8(3);
  const size = view.getUint32(4, true);
  const blockSize = view.getUint32(8, true);
  if (size > MOST || cellSize < 1 || view.getUint32(12, true) > data.length || (size && !blockSize)) {
    throw new Error('the header of a Blosc chunk is damaged');
  }
  if (flags & COPIED) {
    return data.slice(HEADER, HEADER + size);
  }
  const out = new Uint8Array(size);
  for (let start = 0, block = 0; start < size; start += blockSize, block++) {
    const target = out.subarray(start, Math.min(size, start + blockSize));
    const isWhole = target.length === blockSize;
    const isSplit =
      !(flags & NOT_SPLIT) && isWhole && cellSize <= MAX_SPLITS && Math.floor(blockSize / cellSize) >= MIN_BUFFER;
    const at = view.getUint32(HEADER + 4 * block, true);
    const bytes = await unpack(data, view, at, target.length, isSplit ? cellSize : 1, COMPRESSORS[flags >> 5]);
    unshuffle(bytes, target, flags, cellSize);
  }
  return out;
}

/** Unpack the splits of a block; one that does not get smaller is stored as it is. */
async function unpack(data, view, at, size, count, compressor) {
  const out = new Uint8Array(size);
  const length = Math.floor(size / count);
  for (let split = 0; split < count; split++) {
    const packed = view.getUint32(at, true);
    const source = data.subarray(at + 4, at + 4 + packed);
    if (source.length !== packed) {
      throw new Error('a Blosc chunk ends before its end');
    }
    const target = out.subarray(split * length, (split + 1) * length);
    if (packed === length) {
      target.set(source);
    } else if (compressor === 'zstd') {
      const found = unzstd(source);
      requireLength(found, length);
      target.set(found);
    } else if (compressor === 'lz4') {
      unlz4(source, target);
    } else if (compressor === 'zlib') {
      const stream = new Blob([source]).stream().pipeThrough(new DecompressionStream('deflate'));
      const found = new Uint8Array(await new Response(stream).arrayBuffer());
      requireLength(found, length);
      target.set(found);
    } else {
      throw new Error(`Blosc chunks that ${compressor ?? 'something unknown'} has packed cannot be read here`);
    }
    at += 4 + packed;
  }
  return out;
}

function requireLength({length}, expected) {
  if (length !== expected) {
    throw new Error(`a block of a Blosc chunk has ${length} bytes, not ${expected}`);
  }
}

function unshuffle(source, target, flags, cellSize) {
  const count = Math.floor(source.length / cellSize);
  if (flags & SHUFFLED && cellSize > 1) {
    unshuffleBytes(source, target, cellSize, count);
  } else if (flags & BIT_SHUFFLED && count > 0 && count % 8 === 0) {
    unshuffleBits(source, target, cellSize, count);
  } else {
    target.set(source);
    return;
  }
  target.set(source.subarray(count * cellSize), count * cellSize); // what is less than a cell
}

/** From all first bytes, all second bytes ... to cells. */
function unshuffleBytes(source, target, cellSize, count) {
  for (let byte = 0; byte < cellSize; byte++) {
    const row = byte * count;
    for (let cell = 0, to = byte; cell < count; cell++, to += cellSize) {
      target[to] = source[row + cell];
    }
  }
}

/** From all first bits of the first bytes, all second bits ... to cells: 8 x 8 bits are transposed at a time. */
function unshuffleBits(source, target, cellSize, count) {
  const row = count / 8;
  for (let byte = 0; byte < cellSize; byte++) {
    const from = byte * count;
    for (let group = 0; group < row; group++) {
      const at = from + group;
      let low = source[at] | (source[at + row] << 8) | (source[at + 2 * row] << 16) | (source[at + 3 * row] << 24);
      let high =
        source[at + 4 * row] | (source[at + 5 * row] << 8) | (source[at + 6 * row] << 16) | (source[at + 7 * row] << 24);
      // Warren, Hacker's Delight, 7-3, on two halves of 32 bits.
      let swap = (low ^ (low >>> 7)) & 0x00aa00aa;
      low ^= swap ^ (swap << 7);
      swap = (high ^ (high >>> 7)) & 0x00aa00aa;
      high ^= swap ^ (swap << 7);
      swap = (low ^ (low >>> 14)) & 0x0000cccc;
      low ^= swap ^ (swap << 14);
      swap = (high ^ (high >>> 14)) & 0x0000cccc;
      high ^= swap ^ (swap << 14);
      swap = (low ^ ((low >>> 28) | (high << 4))) & 0xf0f0f0f0;
      low ^= swap;
      high ^= swap >>> 4;
      let to = 8 * group * cellSize + byte;
      for (let cell = 0; cell < 4; cell++, to += cellSize) {
        target[to] = low >>> (8 * cell);
        target[to + 4 * cellSize] = high >>> (8 * cell);
      }
    }
  }
}
