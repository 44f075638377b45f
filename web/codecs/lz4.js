// Decompression of LZ4: lz4_Block_format.md of lz4 1.10, and as a codec of its own with the size before it (numcodecs).
//
// Stands in for numcodecs/lz4, whose glue makes functions of strings; see blosc.js.
const MOST = 2 ** 28; // bytes of a chunk

export default class Lz4 {
  static codecId = 'lz4';

  static fromConfig() {
    return new Lz4();
  }

  encode() {
    throw new Error('chunks are only read here');
  }

  decode(data) {
    const size = new DataView(data.buffer, data.byteOffset, data.byteLength).getUint32(0, true);
    if (size > MOST) {
      throw new Error('an LZ4 chunk is too large');
    }
    const out = new Uint8Array(size);
    unlz4(data.subarray(4), out);
    return out;
  }
}

/** Fill `target` from a block; an Error where the block is not exactly as long. */
export function unlz4(source, target) {
  let from = 0;
  let to = 0;
  const more = (length) => {
    if (length < 15) {
      return length;
    }
    let byte;
    do {
      byte = source[from++];
      length += byte;
    } while (byte === 255);
    return length;
  };
  while (from < source.length) {
    const token = source[from++];
    const literals = more(token >> 4);
    if (!(from + literals <= source.length && to + literals <= target.length)) {
      throw new Error('an LZ4 block is damaged');
    }
    target.set(source.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from === source.length) {
      break; // the last sequence has literals only
    }
    const offset = source[from] | (source[from + 1] << 8);
    from += 2;
    const length = 4 + more(token & 15);
    if (!(offset > 0 && offset <= to && to + length <= target.length)) {
      throw new Error('an LZ4 block is damaged');
    }
    // Byte by byte: where the offset is the smaller, the copy repeats what it has just written.
    for (const end = to + length; to < end; to++) {
      target[to] = target[to - offset];
    }
  }
  if (to !== target.length) {
    throw new Error(`an LZ4 block has ${to} bytes, not ${target.length}`);
  }
}
