/**
 * The range coder's stream: integers in, the shortest sufficient bytes out, and back.
 *
 * Specified in docs/format.md, section 8.2. Its state of 64 bits is two halves of 32 bits, each
 * in a double: every product and quotient below is exact, and twice as fast as with BigInt.
 *
 * A model is a list of cumulative frequencies: `cumulative[i]` of 2^16 lie before symbol i, and
 * `cumulative[n]` is 2^16.
 */

import { CorruptError } from "./errors.js";

const HALF = 2 ** 32;
const SPLIT = 2 ** 20;
const TOTAL = 2 ** 16;

/** The halves of what `multiply` found. */
let high = 0;
let low = 0;

/**
 * Multiply 40 bits by 16 bits by 256, exactly.
 * @param {number} scale @param {number} frequency
 */
function multiply(scale, frequency) {
  const upper = Math.floor(scale / SPLIT) * frequency;
  const lower = (scale % SPLIT) * frequency * 256;
  const sum = (upper % 16) * 2 ** 28 + lower;
  high = Math.floor(upper / 16) + Math.floor(sum / HALF);
  low = sum % HALF;
}

/** Reads symbols from one stream; past its end it reads zeros. */
export class RangeDecoder {
  /** @param {Uint8Array} data */
  constructor(data) {
    this.data = data;
    this.position = 0;
    this.rangeHigh = HALF - 1;
    this.rangeLow = HALF - 1;
    this.offsetHigh = this.#word();
    this.offsetLow = this.#word();
  }

  /**
   * Write the next symbols, all of the same model, into `target` from `start` to `stop`.
   * @param {Int32Array} cumulative
   * @param {Int32Array} target
   * @param {number} [start]
   * @param {number} [stop]
   * @throws {CorruptError} no encoder writes such data.
   */
  decode(cumulative, target, start = 0, stop = target.length) {
    const size = cumulative.length - 1;
    if (size === 1) {
      target.fill(0, start, stop);
      return;
    }
    for (let index = start; index < stop; index++) target[index] = this.#symbol(cumulative, size);
  }

  /** @param {Int32Array} cumulative @param {number} size @returns {number} */
  #symbol(cumulative, size) {
    const scale = this.rangeHigh * 256 + Math.floor(this.rangeLow / 2 ** 24);
    multiply(scale, TOTAL);
    if (this.#isBelow(high, low)) {
      throw new CorruptError(
        "payload: expected range-coded data, found bytes that no encoder writes; " +
          "the file is damaged, get it again",
      );
    }
    // The quotient of rounded doubles may be off by one; the products below are not.
    const slot = Math.floor((this.offsetHigh * HALF + this.offsetLow) / scale / 256);
    let symbol = find(cumulative, size, Math.min(slot, TOTAL - 1));
    multiply(scale, cumulative[symbol]);
    while (!this.#isBelow(high, low)) multiply(scale, cumulative[--symbol]);
    while (symbol + 1 < size) {
      multiply(scale, cumulative[symbol + 1]);
      if (!this.#isBelow(high, low)) break;
      symbol++;
    }
    multiply(scale, cumulative[symbol]);
    this.offsetHigh -= high;
    this.offsetLow -= low;
    if (this.offsetLow < 0) {
      this.offsetLow += HALF;
      this.offsetHigh -= 1;
    }
    multiply(scale, cumulative[symbol + 1] - cumulative[symbol]);
    if (high) {
      this.rangeHigh = high;
      this.rangeLow = low;
    } else {
      this.rangeHigh = low;
      this.rangeLow = 0;
      this.offsetHigh = this.offsetLow;
      this.offsetLow = this.#word();
    }
    return symbol;
  }

  /**
   * Say whether a number of two halves is at most the offset.
   * @param {number} upper @param {number} lower @returns {boolean}
   */
  #isBelow(upper, lower) {
    return upper < this.offsetHigh || (upper === this.offsetHigh && lower <= this.offsetLow);
  }

  /** @returns {number} */
  #word() {
    let word = 0;
    for (let index = 0; index < 4; index++) word = word * 256 + (this.data[this.position++] ?? 0);
    return word;
  }
}

/**
 * Return the symbol whose frequencies hold `slot`, by halving.
 * @param {Int32Array} cumulative @param {number} size @param {number} slot @returns {number}
 */
function find(cumulative, size, slot) {
  let first = 0;
  let last = size;
  while (last - first > 1) {
    const middle = (first + last) >> 1;
    if (cumulative[middle] <= slot) first = middle;
    else last = middle;
  }
  return first;
}

/** Appends symbols to one stream; `finish` closes it. */
export class RangeEncoder {
  constructor() {
    /** @type {number[]} words of 32 bits that are out of the state. */
    this.words = [];
    this.lowerHigh = 0;
    this.lowerLow = 0;
    this.rangeHigh = HALF - 1;
    this.rangeLow = HALF - 1;
  }

  /**
   * Append symbols, all with the same model.
   * @param {ArrayLike<number>} symbols
   * @param {Int32Array} cumulative
   */
  encode(symbols, cumulative) {
    if (cumulative.length === 2) return;
    for (let index = 0; index < symbols.length; index++) this.#symbol(symbols[index], cumulative);
  }

  /** @param {number} symbol @param {Int32Array} cumulative */
  #symbol(symbol, cumulative) {
    const scale = this.rangeHigh * 256 + Math.floor(this.rangeLow / 2 ** 24);
    multiply(scale, cumulative[symbol]);
    this.lowerLow += low;
    this.lowerHigh += high;
    if (this.lowerLow >= HALF) {
      this.lowerLow -= HALF;
      this.lowerHigh += 1;
    }
    if (this.lowerHigh >= HALF) {
      this.lowerHigh -= HALF;
      carry(this.words);
    }
    multiply(scale, cumulative[symbol + 1] - cumulative[symbol]);
    if (high) {
      this.rangeHigh = high;
      this.rangeLow = low;
    } else {
      this.words.push(this.lowerHigh);
      this.lowerHigh = this.lowerLow;
      this.lowerLow = 0;
      this.rangeHigh = low;
      this.rangeLow = 0;
    }
  }

  /**
   * Return the shortest bytes from which a decoder reads all symbols: of the numbers in the final
   * interval, the one with the most zero bytes at its end, without them.
   * @returns {Uint8Array}
   */
  finish() {
    const lower = (BigInt(this.lowerHigh) << 32n) | BigInt(this.lowerLow);
    const stop = lower + ((BigInt(this.rangeHigh) << 32n) | BigInt(this.rangeLow));
    let value = lower;
    for (let shift = 8n; shift <= 64n; shift += 8n) {
      const candidate = ((lower + (1n << shift) - 1n) >> shift) << shift;
      if (candidate >= stop) break;
      value = candidate;
    }
    const words = [...this.words];
    if (value >> 64n) carry(words);
    words.push(Number((value >> 32n) & 0xffffffffn), Number(value & 0xffffffffn));
    const bytes = new Uint8Array(4 * words.length);
    const view = new DataView(bytes.buffer);
    words.forEach((word, index) => view.setUint32(4 * index, word));
    let size = bytes.length;
    while (size && !bytes[size - 1]) size--;
    return bytes.slice(0, size);
  }
}

/**
 * Add one to a number of words.
 * @param {number[]} words
 */
function carry(words) {
  let index = words.length - 1;
  while (words[index] === HALF - 1) words[index--] = 0;
  words[index] += 1;
}
