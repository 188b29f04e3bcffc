/**
 * What a picture lacks of the mean colours of 64 x 64 pixels: docs/format.md, section 5.3.
 *
 * Integers alone, so that every machine adds the same.
 */

import { CorruptError } from "./errors.js";
import { RangeDecoder } from "./range_coder.js";

/** Side of what has one mean colour, in pixels. */
const CELL = 64;
/** Between the centres of two cells, in the units of shares: half pixels. */
const WHOLE = 2 * CELL;
/** Colours of cells are whole numbers of 1/64 level. */
const CELL_LIMIT = 255 * 64;
const STEPS = [12, 6, 6];
/** Brightness and two colour differences to red, green and blue, in units of 2^-16. */
const TO_RGB = [[65536, 0, 91881], [65536, -22554, -46802], [65536, 116130, 0]];
/** The order of symbols in a chunk is that of this version of the file, whatever the file's is. */
const ORDER_VERSION = 2;

/**
 * Return the symbols that a chunk holds.
 * @param {Uint8Array} data
 * @param {import("./tables.js").ScaleTables} scales
 * @param {number} height @param {number} width of the picture, in pixels.
 * @returns {Int32Array} (3, h, w): of brightness and two colour differences of each cell.
 * @throws {CorruptError} data that no encoder writes.
 */
export function readMeanColors(data, scales, height, width) {
  if (!data.length) {
    throw new CorruptError("mean colours: expected at least 1 byte, found 0; damaged file");
  }
  const cells = countOf(height) * countOf(width);
  const rows = new Uint8Array(3 * cells).fill(4 * (data[0] & 15));
  rows.fill(4 * (data[0] >> 4), 0, cells);
  return scales.decode(new RangeDecoder(data.subarray(1)), rows, ORDER_VERSION);
}

/**
 * Add the colours that were missing to a decoded picture, in place.
 * @param {Uint8ClampedArray} pixels RGBA; alpha stays as it is.
 * @param {Int32Array} symbols as `readMeanColors` gives them.
 * @param {number} height @param {number} width
 */
export function addMeanColors(pixels, symbols, height, width) {
  const [down, across] = [countOf(height), countOf(width)];
  const cells = cellsOf(symbols);
  const mixed = new Int32Array(3 * across);
  for (let y = 0; y < height; y++) {
    const n = before(y);
    const above = 3 * across * bounded(n, down);
    const below = 3 * across * bounded(n + 1, down);
    const share = shareOf(y, n);
    for (let at = 0; at < mixed.length; at++) {
      mixed[at] = cells[above + at] * (WHOLE - share) + cells[below + at] * share;
    }
    addToRow(pixels, 4 * width * y, mixed, width);
  }
}

/**
 * Add to one row of pixels.
 * @param {Uint8ClampedArray} pixels @param {number} start of the row.
 * @param {Int32Array} mixed (w, 3), colours of cells times `WHOLE`.
 * @param {number} width in pixels.
 */
function addToRow(pixels, start, mixed, width) {
  const across = mixed.length / 3;
  for (let first = 0; first < width;) {
    // Up to the next centre, what is added is a straight line.
    const n = before(first);
    const stop = Math.min((n + 1) * CELL + CELL / 2, width);
    const left = 3 * bounded(n, across);
    const right = 3 * bounded(n + 1, across);
    for (let channel = 0; channel < 3; channel++) {
      const rise = mixed[right + channel] - mixed[left + channel];
      let sum = WHOLE * mixed[left + channel] + shareOf(first, n) * rise + (1 << 19);
      const end = start + 4 * stop;
      for (let at = start + 4 * first + channel; at < end; at += 4) {
        // Such an array clamps what is written to it.
        pixels[at] += sum >> 20;
        sum += 2 * rise;
      }
    }
    first = stop;
  }
}

/**
 * Turn symbols into colours in 1/64 level: (3, h, w) -> (h, w, 3).
 * @param {Int32Array} symbols @returns {Int32Array}
 */
function cellsOf(symbols) {
  const count = symbols.length / 3;
  const cells = new Int32Array(symbols.length);
  for (let cell = 0; cell < count; cell++) {
    TO_RGB.forEach((factors, channel) => {
      // Beyond 32 bits before it is clamped, but exact in doubles.
      let sum = 512;
      factors.forEach((factor, plane) => {
        sum += factor * STEPS[plane] * symbols[plane * count + cell];
      });
      const color = Math.floor(sum / 1024);
      cells[3 * cell + channel] = Math.min(Math.max(color, -CELL_LIMIT), CELL_LIMIT);
    });
  }
  return cells;
}

/** @param {number} side in pixels @returns {number} cells. */
function countOf(side) {
  return Math.ceil(side / CELL);
}

/** The cell whose centre is the last one before a pixel. @param {number} place in pixels. */
function before(place) {
  return Math.floor((2 * place + 1 - CELL) / WHOLE);
}

/** What a pixel has of the cell after cell n. @param {number} place in pixels @param {number} n */
function shareOf(place, n) {
  return 2 * place + 1 - CELL - WHOLE * n;
}

/** @param {number} cell @param {number} count @returns {number} the nearest one that there is. */
function bounded(cell, count) {
  return Math.min(Math.max(cell, 0), count - 1);
}
