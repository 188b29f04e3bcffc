/**
 * The integer function that selects the probability table of every symbol: docs/format.md, 7.4.
 *
 * Exact: every number here is an integer below 2^53, held by a double, which is also what
 * JavaScript is fastest with. Only the quarter of the channels that a step codes is computed, and
 * only symbols that are not 0 are looked at.
 */

import { QUALITY_MAX, STEPS, STEP_CORNERS } from "./config.js";
import { WeightsError } from "./errors.js";

const HIDDEN_MAX = 127;
const ROW_UNIT = 512;
const ROW_MAX = 63;
const MAGNITUDE_MAX = 3;
const INT8 = 127;
const INT24 = 1 << 23;
/** Positions that are computed at once, so that each weight is fetched once for all of them. */
const TOGETHER = 8;

/** Rows of the scale table from z digits, quality and decoded symbols, of one picture. */
export class ScaleMap {
  /** @param {import("./weights.js").Weights} weights @throws {WeightsError} */
  constructor(weights) {
    const { config } = weights;
    const { y_channels: channels, scale_hidden: hidden, quality_anchors: anchors } = config;
    /** @param {string} name @param {number} limit @param {...number} shape */
    const take = (name, limit, ...shape) => {
      const { data } = weights.takeIntegers(`scale_map.${name}`, ...shape);
      for (let at = 0; at < data.length; at++) {
        if (Math.abs(data[at]) > limit) {
          throw new WeightsError(`weights: scale_map.${name} holds integers that are out of range`);
        }
      }
      return Float64Array.from(data);
    };
    this.channels = channels;
    this.hidden = hidden;
    this.digits = config.hyper_levels.length;
    this.hiddenWeight = take("hidden_weight", INT8, hidden, this.digits);
    this.hiddenBias = take("hidden_bias", INT24, hidden);
    this.weight = take("weight", INT8, 16 * channels, 9 * hidden);
    this.bias = take("bias", INT24, anchors, channels);
    const wide = 2 * hidden;
    const contextHidden = take("context_hidden_weight", INT8, STEPS - 1, wide, 9 * channels);
    this.contextHiddenBias = take("context_hidden_bias", INT24, STEPS - 1, wide);
    this.contextWeight = take("context_weight", INT8, STEPS - 1, channels, wide);
    // By column, so that what one symbol adds to all hidden values lies side by side.
    this.contextColumns = Array.from({ length: STEPS - 1 }, (_, step) =>
      transpose(contextHidden, step * wide * 9 * channels, wide, 9 * channels));
  }

  /**
   * Return what z and quality alone say, in units of 1/512 row: (C, 4h, 4w).
   * @param {Float32Array} digits (D, h, w).
   * @param {number} height of z.
   * @param {number} width of z.
   * @param {number} quality
   * @returns {Float64Array}
   */
  base(digits, height, width, quality) {
    const { channels, hidden } = this;
    const area = height * width;
    // (h + 2, w + 2, H): zeros all around.
    const stride = (width + 2) * hidden;
    const values = new Float64Array((height + 2) * stride);
    for (let position = 0; position < area; position++) {
      const at = (Math.floor(position / width) + 1) * stride + ((position % width) + 1) * hidden;
      for (let k = 0; k < hidden; k++) {
        let sum = this.hiddenBias[k];
        for (let d = 0; d < this.digits; d++) {
          sum += this.hiddenWeight[k * this.digits + d] * digits[d * area + position];
        }
        values[at + k] = clamp(sum, 0, HIDDEN_MAX);
      }
    }
    const bias = this.#qualityBias(quality);
    const total = new Float64Array(16 * area * channels);
    const places = Int32Array.from(usedOf(values, hidden).flatMap((k) =>
      Array.from({ length: 9 }, (_, tap) => 9 * k + tap)));
    const columns = new Float64Array(TOGETHER * places.length);
    const sums = new Float64Array(TOGETHER);
    for (let first = 0; first < area; first += TOGETHER) {
      const count = Math.min(TOGETHER, area - first);
      for (let n = 0; n < count; n++) {
        const [y, x] = [Math.floor((first + n) / width), (first + n) % width];
        for (let at = 0; at < places.length; at++) {
          const [k, r, s] = [Math.floor(places[at] / 9), Math.floor(places[at] / 3) % 3, at % 3];
          columns[TOGETHER * at + n] = values[(y + r) * stride + (x + s) * hidden + k];
        }
      }
      for (let row = 0; row < 16 * channels; row++) {
        addProducts(this.weight, row * 9 * hidden, places, columns, sums.fill(bias[row >> 4]));
        const [i, j] = [(row >> 2) & 3, row & 3];
        for (let n = 0; n < count; n++) {
          const [y, x] = [Math.floor((first + n) / width), (first + n) % width];
          total[((row >> 4) * 4 * height + 4 * y + i) * 4 * width + 4 * x + j] = sums[n];
        }
      }
    }
    return total;
  }

  /**
   * Return the rows of what `step` codes, ordered by channel, row, column of the 2x2 cells.
   * @param {number} step
   * @param {Float64Array} base (C, h, w).
   * @param {Int16Array} symbols (C, h, w), 0 where they are not known yet.
   * @param {number} height of y.
   * @param {number} width of y.
   * @returns {Uint8Array} (C, h / 2, w / 2).
   */
  rows(step, base, symbols, height, width) {
    const hidden = step ? this.#contextHidden(step, symbols, height, width) : undefined;
    const wide = 2 * this.hidden;
    const [down, across] = [height / 2, width / 2];
    const area = down * across;
    const rows = new Uint8Array(base.length / 4);
    const quarter = this.channels / 4;
    const used = Int32Array.from(hidden ? usedOf(hidden, wide) : []);
    const columns = new Float64Array(TOGETHER * used.length);
    const sums = new Float64Array(TOGETHER);
    const places = new Int32Array(TOGETHER);
    STEP_CORNERS[step].forEach((corner, part) => {
      for (let first = 0; first < area; first += TOGETHER) {
        const count = Math.min(TOGETHER, area - first);
        for (let n = 0; n < count; n++) {
          const y = 2 * Math.floor((first + n) / across) + (corner >> 1);
          const x = 2 * ((first + n) % across) + (corner & 1);
          places[n] = y * width + x;
          for (let k = 0; hidden && k < used.length; k++) {
            columns[TOGETHER * k + n] = hidden[places[n] * wide + used[k]];
          }
        }
        for (let channel = part * quarter; channel < (part + 1) * quarter; channel++) {
          sums.fill(0);
          if (hidden) {
            const start = ((step - 1) * this.channels + channel) * wide;
            addProducts(this.contextWeight, start, used, columns, sums);
          }
          for (let n = 0; n < count; n++) {
            const total = base[channel * height * width + places[n]] + sums[n];
            const row = Math.floor((total + ROW_UNIT / 2) / ROW_UNIT);
            rows[channel * area + first + n] = clamp(row, 0, ROW_MAX);
          }
        }
      }
    });
    return rows;
  }

  /**
   * @param {number} step @param {Int16Array} symbols @param {number} height @param {number} width
   * @returns {Float64Array} (h, w, 2 H).
   */
  #contextHidden(step, symbols, height, width) {
    const wide = 2 * this.hidden;
    const columns = this.contextColumns[step - 1];
    const area = height * width;
    const sums = new Float64Array(area * wide);
    const bias = this.contextHiddenBias.subarray((step - 1) * wide, step * wide);
    for (let position = 0; position < area; position++) sums.set(bias, position * wide);
    for (let at = 0; at < symbols.length; at++) {
      if (!symbols[at]) continue;
      const magnitude = Math.min(Math.abs(symbols[at]), MAGNITUDE_MAX);
      const channel = Math.floor(at / area);
      const y = Math.floor((at % area) / width);
      const x = at % width;
      for (let r = 0; r < 3; r++) {
        const row = y + 1 - r;
        if (row < 0 || row >= height) continue;
        for (let s = 0; s < 3; s++) {
          const column = x + 1 - s;
          if (column < 0 || column >= width) continue;
          const target = (row * width + column) * wide;
          const source = (9 * channel + 3 * r + s) * wide;
          for (let k = 0; k < wide; k++) sums[target + k] += magnitude * columns[source + k];
        }
      }
    }
    for (let at = 0; at < sums.length; at++) sums[at] = clamp(sums[at], 0, HIDDEN_MAX);
    return sums;
  }

  /**
   * Interpolate integer biases per anchor: floor of the exact value.
   * @param {number} quality @returns {number[]}
   */
  #qualityBias(quality) {
    const anchors = this.bias.length / this.channels;
    const span = QUALITY_MAX / (anchors - 1);
    const lower = Math.min(Math.floor(quality / span), anchors - 2);
    const part = quality - lower * span;
    return Array.from({ length: this.channels }, (_, channel) => {
      const below = this.bias[lower * this.channels + channel];
      const above = this.bias[(lower + 1) * this.channels + channel];
      return Math.floor((below * (span - part) + above * part) / span);
    });
  }
}

/**
 * Return which of so many values per position are not 0 everywhere.
 * @param {Float64Array} values (positions, size). @param {number} size
 * @returns {number[]}
 */
function usedOf(values, size) {
  const isUsed = new Uint8Array(size);
  for (let at = 0; at < values.length; at++) if (values[at]) isUsed[at % size] = 1;
  return Array.from(isUsed.keys()).filter((k) => isUsed[k]);
}

/**
 * Add the products of one row of weights with `TOGETHER` columns to `sums`.
 * @param {Float64Array} weights @param {number} start of the row.
 * @param {Int32Array} places of the row that count.
 * @param {Float64Array} columns (places, TOGETHER). @param {Float64Array} sums (TOGETHER,)
 */
function addProducts(weights, start, places, columns, sums) {
  // In variables, which stay in registers.
  let s0 = sums[0];
  let s1 = sums[1];
  let s2 = sums[2];
  let s3 = sums[3];
  let s4 = sums[4];
  let s5 = sums[5];
  let s6 = sums[6];
  let s7 = sums[7];
  for (let k = 0, at = 0; k < places.length; k++, at += TOGETHER) {
    const weight = weights[start + places[k]];
    s0 += weight * columns[at];
    s1 += weight * columns[at + 1];
    s2 += weight * columns[at + 2];
    s3 += weight * columns[at + 3];
    s4 += weight * columns[at + 4];
    s5 += weight * columns[at + 5];
    s6 += weight * columns[at + 6];
    s7 += weight * columns[at + 7];
  }
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
  sums[4] = s4;
  sums[5] = s5;
  sums[6] = s6;
  sums[7] = s7;
}

/**
 * @param {Float64Array} matrices @param {number} start @param {number} rows
 * @param {number} columns
 * @returns {Float64Array} one of the matrices, (columns, rows).
 */
function transpose(matrices, start, rows, columns) {
  const turned = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      turned[column * rows + row] = matrices[start + row * columns + column];
    }
  }
  return turned;
}

/** @param {number} value @param {number} least @param {number} most */
function clamp(value, least, most) {
  return value < least ? least : value > most ? most : value;
}
