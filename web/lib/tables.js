/**
 * The probability tables of a model, and the two kinds of messages that are coded with them.
 *
 * Knows nothing of where rows and symbols come from. See docs/format.md, sections 8.3 and 8.4.
 */

import { CorruptError, WeightsError } from "./errors.js";

const ROWS = 64;
const TOTAL = 2 ** 16;
const MAX_MAGNITUDE = 32767;
const CLASSES = 15;

const CLASS_MODEL = cumulate(
  Array.from({ length: CLASSES }, (_, k) => (k < CLASSES - 1 ? 1 << (15 - k) : 4)), "classes",
);
const BIT_MODEL = cumulate([1 << 15, 1 << 15], "bits");

/**
 * @typedef {import("./range_coder.js").RangeDecoder} RangeDecoder
 * @typedef {import("./range_coder.js").RangeEncoder} RangeEncoder
 * @typedef {{shape: number[], kind: string, data: ArrayLike<number>}} Tensor
 */

/** Tables for the indices of z, one for each anchor of the quality. */
export class IndexTables {
  /** @param {Tensor} frequencies (K, N) integers. */
  constructor({ shape, data }) {
    const [count, size] = shape;
    if (shape.length !== 2 || !count) throw new WeightsError("index tables: expected (K, N)");
    this.models = Array.from({ length: count }, (_, row) =>
      cumulate(slice(data, row * size, size), `index tables, row ${row}`));
  }

  /** @param {RangeDecoder} decoder @param {Int32Array} indices @param {number} row */
  decode(decoder, indices, row) {
    decoder.decode(this.models[row], indices);
  }

  /** @param {RangeEncoder} encoder @param {Int32Array} indices @param {number} row */
  encode(encoder, indices, row) {
    encoder.encode(indices, this.models[row]);
  }
}

/** 64 tables for symbols; row 0 means that nothing is coded and the symbol is 0. */
export class ScaleTables {
  /** @param {Tensor} frequencies (64, A). @param {Tensor} halfWidths (64,). */
  constructor(frequencies, halfWidths) {
    const columns = frequencies.shape[1];
    if (frequencies.shape[0] !== ROWS || halfWidths.shape[0] !== ROWS) {
      throw new WeightsError(`scale tables: expected ${ROWS} rows and half widths`);
    }
    this.halfWidths = Int32Array.from(halfWidths.data);
    this.models = Array.from(this.halfWidths, (halfWidth, row) => {
      const used = row ? 2 * halfWidth + 2 : 1;
      const all = slice(frequencies.data, row * columns, columns);
      const fits = halfWidth >= 0 && halfWidth < MAX_MAGNITUDE && used <= columns;
      if (!fits || (!row && halfWidth) || all.slice(used).some(Boolean)) {
        throw new WeightsError(`scale tables: row ${row} does not fit its half width`);
      }
      return cumulate(all.slice(0, used), `scale tables, row ${row}`);
    });
  }

  /**
   * Return the symbols of one message.
   * @param {RangeDecoder} decoder
   * @param {Uint8Array} rows of every element of the message.
   * @param {number} version of the file: 1 has small scales first, 2 large ones.
   * @returns {Int32Array}
   * @throws {CorruptError} data that no encoder writes.
   */
  decode(decoder, rows, version) {
    const { positions, groups } = codingOrder(rows, version);
    const codes = new Int32Array(positions.length);
    let start = 0;
    for (const [row, count] of groups) {
      decoder.decode(this.models[row], codes, start, start + count);
      start += count;
    }
    const symbols = new Int32Array(rows.length);
    /** @type {number[]} */
    const escaped = [];
    for (let index = 0; index < codes.length; index++) {
      const code = codes[index];
      const magnitude = (code + 1) >> 1;
      if (magnitude > this.halfWidths[rows[positions[index]]]) escaped.push(positions[index]);
      else symbols[positions[index]] = code & 1 ? -magnitude : magnitude;
    }
    if (escaped.length) this.#decodeEscapes(decoder, rows, escaped, symbols);
    return symbols;
  }

  /**
   * @param {RangeDecoder} decoder @param {Uint8Array} rows @param {number[]} escaped
   * @param {Int32Array} symbols
   */
  #decodeEscapes(decoder, rows, escaped, symbols) {
    const classes = new Int32Array(escaped.length);
    decoder.decode(CLASS_MODEL, classes);
    const bits = new Int32Array(classes.reduce((sum, k) => sum + k + 1, 0));
    decoder.decode(BIT_MODEL, bits);
    let at = 0;
    let largest = 0;
    escaped.forEach((position, index) => {
      const negative = bits[at++];
      let excess = 1;
      for (let bit = 0; bit < classes[index]; bit++) excess = 2 * excess + bits[at++];
      const magnitude = this.halfWidths[rows[position]] + excess;
      largest = Math.max(largest, magnitude);
      symbols[position] = negative ? -magnitude : magnitude;
    });
    if (largest > MAX_MAGNITUDE) {
      throw new CorruptError(
        `symbol: expected a magnitude of at most ${MAX_MAGNITUDE}, found ${largest}; ` +
          "the file is damaged, get it again",
      );
    }
  }

  /**
   * Append one message.
   * @param {RangeEncoder} encoder
   * @param {Int32Array} symbols 0 where the row is 0.
   * @param {Uint8Array} rows
   * @param {number} version of the file.
   */
  encode(encoder, symbols, rows, version) {
    const { positions, groups } = codingOrder(rows, version);
    /** @type {number[]} */
    const classes = [];
    /** @type {number[]} */
    const bits = [];
    const codes = new Int32Array(positions.length);
    for (let index = 0; index < codes.length; index++) {
      const symbol = symbols[positions[index]];
      const halfWidth = this.halfWidths[rows[positions[index]]];
      const magnitude = Math.abs(symbol);
      if (magnitude <= halfWidth) {
        codes[index] = 2 * magnitude - (symbol < 0 ? 1 : 0);
        continue;
      }
      const excess = magnitude - halfWidth;
      const k = 31 - Math.clz32(excess);
      classes.push(k);
      bits.push(symbol < 0 ? 1 : 0);
      for (let bit = k - 1; bit >= 0; bit--) bits.push((excess >> bit) & 1);
      codes[index] = 2 * halfWidth + 1;
    }
    let start = 0;
    for (const [row, count] of groups) {
      encoder.encode(codes.subarray(start, start + count), this.models[row]);
      start += count;
    }
    encoder.encode(classes, CLASS_MODEL);
    encoder.encode(bits, BIT_MODEL);
  }
}

/**
 * Return where the symbols of a message are, as they are coded, and how many there are of a row.
 * @param {Uint8Array} rows @param {number} version
 * @returns {{positions: Int32Array, groups: [number, number][]}}
 */
function codingOrder(rows, version) {
  const counts = new Int32Array(ROWS);
  for (let index = 0; index < rows.length; index++) counts[rows[index]]++;
  /** @type {[number, number][]} */
  const groups = [];
  for (let row = 1; row < ROWS; row++) if (counts[row]) groups.push([row, counts[row]]);
  if (version > 1) groups.reverse();
  const next = new Int32Array(ROWS);
  let start = 0;
  for (const [row, count] of groups) {
    next[row] = start;
    start += count;
  }
  const positions = new Int32Array(start);
  for (let index = 0; index < rows.length; index++) {
    if (rows[index]) positions[next[rows[index]]++] = index;
  }
  return { positions, groups };
}

/**
 * Return the sums of the frequencies before every symbol, and of all of them.
 * @param {number[]} frequencies @param {string} name @returns {Int32Array}
 */
function cumulate(frequencies, name) {
  const sums = new Int32Array(frequencies.length + 1);
  frequencies.forEach((frequency, index) => {
    if (!(frequency >= 1)) throw new WeightsError(`${name}: expected frequencies >= 1`);
    sums[index + 1] = sums[index] + frequency;
  });
  if (sums[frequencies.length] !== TOTAL) {
    throw new WeightsError(`${name}: expected frequencies that sum to ${TOTAL}`);
  }
  return sums;
}

/** @param {ArrayLike<number>} data @param {number} start @param {number} count */
function slice(data, start, count) {
  return Array.from({ length: count }, (_, index) => data[start + index]);
}
