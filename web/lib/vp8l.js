/**
 * A decoder of VP8L, the lossless bitstream of WebP (RFC 9649, section 3), for alpha planes.
 *
 * Written here because a canvas multiplies colours by their alpha and would lose some of them, and
 * because workers and Node then read the same. Pixels are ARGB in 32 bits.
 */

import { CorruptError } from "./errors.js";

const SIGNATURE = 0x2f;
const BLACK = 0xff000000;
const CODE_ORDER = [17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const LITERALS = 256;
const LENGTHS = 24;
const DISTANCES = 40;
const LONGEST = 15;
const CACHE_MULTIPLIER = 0x1e35a7bd;

/** The 120 short distances: pairs of columns and rows, the nearest first (section 5.2.2). */
const NEAR = nearby();

/**
 * Return the green channel of an image.
 * @param {Uint8Array} data from the signature on.
 * @param {number} width that it must have.
 * @param {number} height that it must have.
 * @returns {Uint8Array} (H, W).
 * @throws {CorruptError} the data is damaged or is of another size.
 */
export function decodeGreen(data, width, height) {
  const bits = new Bits(data);
  const isVp8l = data.length >= 6 && bits.read(8) === SIGNATURE;
  if (!isVp8l || bits.read(14) + 1 !== width || bits.read(14) + 1 !== height) {
    throw new CorruptError(`alpha: expected ${width} x ${height} pixels of VP8L; damaged file`);
  }
  // Whether its own alpha is used is a hint.
  bits.read(1);
  if (bits.read(3)) throw damaged();
  const pixels = readTransformed(bits, width, height);
  return Uint8Array.from(pixels, (pixel) => (pixel >>> 8) & 255);
}

/** @returns {CorruptError} */
function damaged() {
  return new CorruptError("alpha: the VP8L data cannot be decoded; damaged file");
}

/** Reads bits, the lowest of a byte first. */
class Bits {
  /** @param {Uint8Array} data */
  constructor(data) {
    this.data = data;
    this.position = 0;
  }

  /** @param {number} count at most 25. @returns {number} */
  read(count) {
    if (this.position + count > 8 * this.data.length) throw damaged();
    let value = 0;
    for (let index = 0; index < count; index++, this.position++) {
      value |= ((this.data[this.position >> 3] >> (this.position & 7)) & 1) << index;
    }
    return value;
  }
}

/** A canonical prefix code. */
class Code {
  /** @param {number[] | Uint8Array} lengths of the code word of every symbol, 0 for none. */
  constructor(lengths) {
    const counts = new Int32Array(LONGEST + 1);
    for (const length of lengths) counts[length]++;
    counts[0] = 0;
    const used = counts.reduce((sum, count) => sum + count, 0);
    /** @type {number[]} symbols, ordered by length and value. */
    this.symbols = [];
    for (let length = 1; length <= LONGEST; length++) {
      if (!counts[length]) continue;
      lengths.forEach((own, symbol) => own === length && this.symbols.push(symbol));
    }
    this.counts = counts;
    let left = 1;
    for (let length = 1; length <= LONGEST; length++) left = 2 * left - counts[length];
    if (used === 0 || (used > 1 && left !== 0)) throw damaged();
  }

  /** @param {Bits} bits @returns {number} */
  read(bits) {
    if (this.symbols.length === 1) return this.symbols[0];
    let code = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length <= LONGEST; length++) {
      code |= bits.read(1);
      const count = this.counts[length];
      if (code - first < count) return this.symbols[index + code - first];
      index += count;
      first = (first + count) << 1;
      code <<= 1;
    }
    throw damaged();
  }
}

/** @param {Bits} bits @param {number} size of the alphabet. @returns {Code} */
function readCode(bits, size) {
  const lengths = new Uint8Array(size);
  if (bits.read(1)) {
    const count = bits.read(1) + 1;
    const symbols = [bits.read(bits.read(1) ? 8 : 1)];
    if (count === 2) symbols.push(bits.read(8));
    if (Math.max(...symbols) >= size) throw damaged();
    for (const symbol of symbols) lengths[symbol] = 1;
    return new Code(lengths);
  }
  const ofLengths = new Uint8Array(CODE_ORDER.length);
  const count = 4 + bits.read(4);
  for (let index = 0; index < count; index++) ofLengths[CODE_ORDER[index]] = bits.read(3);
  let left = size;
  if (bits.read(1)) {
    left = 2 + bits.read(2 + 2 * bits.read(3));
    if (left > size) throw damaged();
  }
  const code = new Code(ofLengths);
  let previous = 8;
  for (let symbol = 0; symbol < size && left > 0; left--) {
    const length = code.read(bits);
    if (length < 16) {
      lengths[symbol++] = length;
      if (length) previous = length;
      continue;
    }
    const repeat = length === 16 ? 3 + bits.read(2)
      : length === 17 ? 3 + bits.read(3) : 11 + bits.read(7);
    if (symbol + repeat > size) throw damaged();
    if (length === 16) lengths.fill(previous, symbol, symbol + repeat);
    symbol += repeat;
  }
  return new Code(lengths);
}

/**
 * Read an image with its transforms, and undo them.
 * @param {Bits} bits @param {number} width @param {number} height @returns {Uint32Array}
 */
function readTransformed(bits, width, height) {
  /** @type {((pixels: Uint32Array) => Uint32Array)[]} */
  const undo = [];
  const seen = new Set();
  let columns = width;
  while (bits.read(1)) {
    const kind = bits.read(2);
    if (seen.has(kind)) throw damaged();
    seen.add(kind);
    const own = columns;
    if (kind === 0 || kind === 1) {
      const size = bits.read(3) + 2;
      const across = divide(own, size);
      const blocks = readImage(bits, across, divide(height, size), false);
      undo.unshift(kind ? (p) => addColour(p, own, blocks, size, across)
        : (p) => addPrediction(p, own, height, blocks, size, across));
    } else if (kind === 2) {
      undo.unshift(addGreen);
    } else {
      const count = bits.read(8) + 1;
      const palette = readImage(bits, count, 1, false);
      for (let index = 1; index < count; index++) {
        palette[index] = add(palette[index], palette[index - 1]);
      }
      const packing = count <= 2 ? 3 : count <= 4 ? 2 : count <= 16 ? 1 : 0;
      columns = divide(own, packing);
      const packed = columns;
      undo.unshift((p) => lookUp(p, own, height, palette, packing, packed));
    }
  }
  let pixels = readImage(bits, columns, height, true);
  for (const step of undo) pixels = step(pixels);
  return pixels;
}

/**
 * @param {Bits} bits @param {number} width @param {number} height
 * @param {boolean} isMain it may have several groups of codes.
 * @returns {Uint32Array}
 */
function readImage(bits, width, height, isMain) {
  const cacheBits = bits.read(1) ? bits.read(4) : 0;
  if (cacheBits > 11) throw damaged();
  const cache = new Uint32Array(cacheBits ? 1 << cacheBits : 0);
  let size = 0;
  let across = 0;
  let groupOf = new Uint32Array(1);
  if (isMain && bits.read(1)) {
    size = bits.read(3) + 2;
    across = divide(width, size);
    const image = readImage(bits, across, divide(height, size), false);
    groupOf = image.map((pixel) => (pixel >>> 8) & 0xffff);
  }
  const count = groupOf.reduce((most, group) => Math.max(most, group), 0) + 1;
  const alphabets = [LITERALS + LENGTHS + cache.length, LITERALS, LITERALS, LITERALS, DISTANCES];
  const groups = Array.from({ length: count }, () => alphabets.map((all) => readCode(bits, all)));
  const pixels = new Uint32Array(width * height);
  /** @param {number} at @param {number} pixel */
  const put = (at, pixel) => {
    pixels[at] = pixel;
    if (cacheBits) cache[Math.imul(pixel, CACHE_MULTIPLIER) >>> (32 - cacheBits)] = pixel;
  };
  for (let at = 0; at < pixels.length; ) {
    const place = across ? (Math.floor(at / width) >> size) * across + ((at % width) >> size) : 0;
    const [green, red, blue, alpha, distance] = groups[groupOf[place]];
    const symbol = green.read(bits);
    if (symbol < LITERALS) {
      const upper = red.read(bits) << 16;
      const lower = blue.read(bits);
      put(at++, ((alpha.read(bits) << 24) | upper | (symbol << 8) | lower) >>> 0);
    } else if (symbol < LITERALS + LENGTHS) {
      const length = readNumber(bits, symbol - LITERALS);
      const code = readNumber(bits, distance.read(bits));
      const [column, row] = code > NEAR.length ? [code - NEAR.length, 0] : NEAR[code - 1];
      const back = Math.max(1, column + row * width);
      if (back > at || at + length > pixels.length) throw damaged();
      for (let index = 0; index < length; index++, at++) put(at, pixels[at - back]);
    } else {
      put(at++, cache[symbol - LITERALS - LENGTHS]);
    }
  }
  return pixels;
}

/** @param {Bits} bits @param {number} prefix @returns {number} a length or distance. */
function readNumber(bits, prefix) {
  if (prefix < 4) return prefix + 1;
  const extra = (prefix - 2) >> 1;
  return ((2 + (prefix & 1)) << extra) + bits.read(extra) + 1;
}

/** @returns {[number, number][]} */
function nearby() {
  /** @type {[number, number][]} */
  const pairs = [];
  for (let row = 0; row < 8; row++) {
    for (let column = row ? -7 : 1; column <= 8; column++) pairs.push([column, row]);
  }
  /** @param {[number, number]} pair */
  const key = ([x, y]) => (x * x + y * y) * 100 + Math.abs(x) * 2 + (x < 0 ? 1 : 0);
  return pairs.sort((one, other) => key(one) - key(other));
}

/** @param {number} side @param {number} bits @returns {number} */
function divide(side, bits) {
  return (side + (1 << bits) - 1) >> bits;
}

/** @param {number} a @param {number} b @returns {number} the sum of each channel, modulo 256. */
function add(a, b) {
  const even = ((a & 0xff00ff00) >>> 0) + ((b & 0xff00ff00) >>> 0);
  const odd = (a & 0x00ff00ff) + (b & 0x00ff00ff);
  return ((even & 0xff00ff00) | (odd & 0x00ff00ff)) >>> 0;
}

/** @param {number} a @param {number} b @returns {number} the mean of each channel. */
function mean(a, b) {
  return ((((a ^ b) & 0xfefefefe) >>> 1) + (a & b)) >>> 0;
}

/**
 * Apply a function of channels to each of the four.
 * @param {(a: number, b: number, c: number) => number} how @returns {number}
 */
function each(how, a = 0, b = 0, c = 0) {
  let pixel = 0;
  for (let shift = 0; shift < 32; shift += 8) {
    const value = how((a >>> shift) & 255, (b >>> shift) & 255, (c >>> shift) & 255);
    pixel |= Math.max(0, Math.min(255, value)) << shift;
  }
  return pixel >>> 0;
}

/** @param {number} left @param {number} top @param {number} corner @returns {number} */
function select(left, top, corner) {
  let toLeft = 0;
  let toTop = 0;
  for (let shift = 0; shift < 32; shift += 8) {
    const behind = (corner >>> shift) & 255;
    toLeft += Math.abs(((top >>> shift) & 255) - behind);
    toTop += Math.abs(((left >>> shift) & 255) - behind);
  }
  return toLeft < toTop ? left : top;
}

/**
 * Predictors by number, of left, top, top right and top left.
 * @type {((l: number, t: number, r: number, c: number) => number)[]}
 */
const PREDICTORS = [
  () => BLACK,
  (l) => l,
  (l, t) => t,
  (l, t, r) => r,
  (l, t, r, c) => c,
  (l, t, r) => mean(mean(l, r), t),
  (l, t, r, c) => mean(l, c),
  (l, t) => mean(l, t),
  (l, t, r, c) => mean(c, t),
  (l, t, r) => mean(t, r),
  (l, t, r, c) => mean(mean(l, c), mean(t, r)),
  (l, t, r, c) => select(l, t, c),
  (l, t, r, c) => each((a, b, d) => a + b - d, l, t, c),
  (l, t, r, c) => each((a, b) => a + Math.trunc((a - b) / 2), mean(l, t), c),
  () => BLACK,
  () => BLACK,
];

/**
 * @param {Uint32Array} pixels @param {number} width @param {number} height
 * @param {Uint32Array} blocks @param {number} size @param {number} across
 */
function addPrediction(pixels, width, height, blocks, size, across) {
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      let predicted = BLACK;
      if (x && y) {
        const mode = (blocks[(y >> size) * across + (x >> size)] >>> 8) & 15;
        const above = at - width;
        const corners = [pixels[at - 1], pixels[above], pixels[above + 1], pixels[above - 1]];
        predicted = PREDICTORS[mode](corners[0], corners[1], corners[2], corners[3]);
      } else if (x) {
        predicted = pixels[at - 1];
      } else if (y) {
        predicted = pixels[at - width];
      }
      pixels[at] = add(pixels[at], predicted);
    }
  }
  return pixels;
}

/**
 * @param {Uint32Array} pixels @param {number} width @param {Uint32Array} blocks
 * @param {number} size @param {number} across
 */
function addColour(pixels, width, blocks, size, across) {
  /** @param {number} factor @param {number} value */
  const delta = (factor, value) => (((factor << 24) >> 24) * ((value << 24) >> 24)) >> 5;
  return pixels.map((pixel, at) => {
    const block = blocks[(Math.floor(at / width) >> size) * across + ((at % width) >> size)];
    const green = (pixel >>> 8) & 255;
    const red = (((pixel >>> 16) & 255) + delta(block & 255, green)) & 255;
    let blue = (pixel & 255) + delta((block >>> 8) & 255, green);
    blue += delta((block >>> 16) & 255, red);
    return ((pixel & 0xff00ff00) | (red << 16) | (blue & 255)) >>> 0;
  });
}

/** @param {Uint32Array} pixels */
function addGreen(pixels) {
  return pixels.map((pixel) => {
    const green = (pixel >>> 8) & 255;
    return add(pixel, (green << 16) | green);
  });
}

/**
 * @param {Uint32Array} pixels @param {number} width @param {number} height
 * @param {Uint32Array} palette @param {number} packing @param {number} packed columns.
 */
function lookUp(pixels, width, height, palette, packing, packed) {
  const found = new Uint32Array(width * height);
  const depth = 8 >> packing;
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at++) {
      const green = (pixels[y * packed + (x >> packing)] >>> 8) & 255;
      const index = (green >> ((x & ((1 << packing) - 1)) * depth)) & ((1 << depth) - 1);
      found[at] = palette[index] ?? 0;
    }
  }
  return found;
}
