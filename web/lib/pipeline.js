/**
 * The coding loop: a model at work on one picture, tile by tile or in one piece. `glc.coding_loop`.
 *
 * Knows nothing of bytes.
 */

import { copy, view, zeros } from "./arrays.js";
import { IMAGE_STRIDE, LATENT_STRIDE, STEPS, STEP_CORNERS } from "./config.js";
import { roundHalfEven } from "./model.js";
import {
  BROAD_PIXELS, TILE_PIXELS, UNCUT_PIXELS, Window, cut, padded, reachOf,
} from "./tiles.js";

/**
 * @typedef {import("./arrays.js").Planes<Float32Array>} Planes
 * @typedef {import("./model.js").Model} Model
 * @typedef {(share: number) => void} Progress told of the share that is done, 0 to 1.
 * @typedef {{data: Int32Array, channels: number, height: number, width: number}} IndexPlanes
 * @typedef {{data: Int16Array, channels: number, height: number, width: number}} SymbolPlanes
 */

/**
 * Pixels with their alpha last, 8 bits each.
 * @typedef {{width: number, height: number, data: Uint8Array | Uint8ClampedArray,
 *   grey?: boolean}} Picture
 */

const MAX_MAGNITUDE = 32767;

/**
 * A model at work on one picture, in tiles if it is large.
 *
 * Rows need integers alone, so that a reader has all symbols, and compares their checksum, before
 * it computes the first float; and y_hat needs no rows. What is whole here has 1/256 of the
 * picture's positions.
 */
export class Pipeline {
  /**
   * @param {Model} model @param {ReturnType<typeof reachOf>} reach
   * @param {number} height @param {number} width of the picture before padding.
   * @param {number} quality
   * @param {number} [side] of the tiles, in pixels; chosen if it is not given.
   */
  constructor(model, reach, height, width, quality, side) {
    this.model = model;
    this.reach = reach;
    this.height = height;
    this.width = width;
    this.quality = quality;
    this.bounds = padded(height, width);
    const isCut = side !== undefined || this.bounds.height * this.bounds.width > UNCUT_PIXELS;
    this.tilePixels = isCut ? (side ? side * side : TILE_PIXELS) : Infinity;
    const broadPixels = side ? 4 * side * side : BROAD_PIXELS;
    this.broad = isCut ? cut(this.bounds, broadPixels) : [this.bounds];
    this.grid = this.bounds.at(LATENT_STRIDE);
    this.channels = model.config.y_channels;
    /** @type {Planes | undefined} */
    this.features = undefined;
  }

  /** Run E. @param {Picture} picture @param {Progress} progress @returns {Promise<Planes>} l. */
  async latent(picture, progress) {
    const { encoderCoarse, encoderFine } = this.reach;
    const l = zeros(this.model.config.latent_channels, this.grid.height, this.grid.width);
    const told = counter(progress, this.#countFine());
    for (const tile of this.broad) {
      const window = tile.grown(encoderCoarse, LATENT_STRIDE, this.bounds);
      /** @type {Planes | undefined} */
      let features;
      for (const inner of this.#pieces(tile)) {
        const piece = inner.stretched(tile, window);
        const around = piece.grown(encoderFine, LATENT_STRIDE, this.bounds);
        const cells = cellsOf(picture, around);
        const found = await this.model.encodeFine(cells, around.height / 4, around.width / 4);
        const { height, width } = window.at(LATENT_STRIDE);
        features ??= zeros(found.channels, height, width);
        paste(features, piece.inside(window), found, piece.inside(around));
        told();
      }
      const found = await this.model.encodeCoarse(/** @type {Planes} */ (features));
      paste(l, tile, found, tile.inside(window));
    }
    return l;
  }

  /** Run g_a and h_a. @param {Planes} l */
  async transform(l) {
    const { quality, model, reach } = this;
    const y = zeros(this.channels, this.grid.height, this.grid.width);
    for (const tile of this.broad) {
      const window = tile.grown(reach.analysis, LATENT_STRIDE, this.bounds);
      const found = await model.analysis(view(l, window.at(LATENT_STRIDE)), quality);
      paste(y, tile, found, tile.inside(window));
    }
    const { height, width } = this.bounds.at(IMAGE_STRIDE);
    const indices = { data: new Int32Array(height * width), channels: 1, height, width };
    for (const tile of this.broad) {
      const window = tile.grown(reach.hyperAnalysis, IMAGE_STRIDE, this.bounds);
      const found = await model.hyperAnalysis(view(y, window.at(LATENT_STRIDE)), quality);
      const place = tile.at(IMAGE_STRIDE);
      copy(indices, place.top, place.left, found, tile.inside(window).at(IMAGE_STRIDE));
    }
    return { y, indices };
  }

  /**
   * Quantise y in the coding steps.
   * @param {Planes} y @param {IndexPlanes} indices @param {Progress} progress
   */
  async write(y, indices, progress) {
    const symbols = this.#noSymbols();
    const yHat = zeros(this.channels, this.grid.height, this.grid.width);
    const base = this.#base(indices);
    const threshold = this.model.config.rounding;
    const steps = [];
    for (let step = 0; step < STEPS; step++) {
      const rows = this.#rows(step, base, symbols);
      const chosen = new Int16Array(rows.length);
      await this.#refine(step, indices, yHat, (at, position, mean, quantStep) => {
        if (rows[at] && this.#isInside(position)) {
          const residual = Math.fround(Math.fround(y.data[position] - mean) / quantStep);
          chosen[at] = toSymbol(residual, threshold);
        }
        return chosen[at];
      });
      this.#put(step, symbols, chosen);
      steps.push(this.#message(step, rows, chosen));
      progress((step + 1) / STEPS);
    }
    return { steps, symbols };
  }

  /**
   * Decode the symbols of all steps.
   * @param {IndexPlanes} indices
   * @param {(rows: Uint8Array) => Int32Array} decode gives the symbols of one message.
   */
  read(indices, decode) {
    const symbols = this.#noSymbols();
    const base = this.#base(indices);
    for (let step = 0; step < STEPS; step++) {
      const rows = this.#rows(step, base, symbols);
      const message = this.#message(step, rows);
      const found = decode(message.rows);
      message.positions.forEach((position, index) => (symbols.data[position] = found[index]));
    }
    return symbols;
  }

  /**
   * Run h_s and the context model over known symbols.
   * @param {{indices: IndexPlanes, symbols: SymbolPlanes}} integers @param {Progress} progress
   */
  async yHat({ indices, symbols }, progress) {
    const yHat = zeros(this.channels, this.grid.height, this.grid.width);
    for (let step = 0; step < STEPS; step++) {
      await this.#refine(step, indices, yHat, (at, position) => symbols.data[position]);
      progress((step + 1) / STEPS);
    }
    return yHat;
  }

  /**
   * Run g_s and D.
   * @param {Planes} yHat @param {number} realism 0 to 1 @param {Progress} progress
   * @returns {Promise<Uint8ClampedArray>} RGBA of the picture without its padding.
   */
  async picture(yHat, realism, progress) {
    const { decoderCoarse, decoderFine } = this.reach;
    const shown = new Uint8ClampedArray(4 * this.height * this.width).fill(255);
    const told = counter(progress, this.#countFine());
    for (const tile of this.broad) {
      const window = tile.grown(decoderFine, LATENT_STRIDE, this.bounds);
      const around = window.grown(decoderCoarse, LATENT_STRIDE, this.bounds);
      const given = view(yHat, around.at(LATENT_STRIDE));
      const lHat = await this.model.synthesis(given, this.quality);
      const all = await this.model.decodeCoarse(lHat, realism);
      const features = view(all, window.inside(around).at(LATENT_STRIDE));
      for (const piece of this.#pieces(tile)) {
        const seen = piece.grown(decoderFine, LATENT_STRIDE, this.bounds);
        const part = view(features, seen.inside(window).at(LATENT_STRIDE));
        const pixels = await this.model.decodeFine(part, realism);
        this.#show(shown, piece, pixels, seen);
        told();
      }
    }
    return shown;
  }

  /**
   * Write the elements of one step into y_hat, in which they are still 0.
   * @param {number} step @param {IndexPlanes} indices @param {Planes} yHat
   * @param {(at: number, position: number, mean: number, quantStep: number) => number} choose
   *   gives the symbol of an element, by its place in what the step codes and its place in y.
   */
  async #refine(step, indices, yHat, choose) {
    const { height, width } = this.grid;
    const fresh = new Float32Array(yHat.data.length / 4);
    for (const tile of this.broad) {
      const window = tile.grown(this.reach.context, IMAGE_STRIDE, this.bounds);
      const features = await this.#featuresOf(indices, window);
      const known = view(yHat, window.at(LATENT_STRIDE));
      const { mean, quantStep } = await this.model.context(step, known, features);
      const place = tile.at(LATENT_STRIDE);
      const inner = window.at(LATENT_STRIDE);
      this.#eachOf(step, place, (at, channel, y, x) => {
        const from = (channel * inner.height + y - inner.top) * inner.width + x - inner.left;
        const [own, size] = [mean.data[from], quantStep.data[from]];
        const symbol = choose(at, (channel * height + y) * width + x, own, size);
        fresh[at] = Math.fround(symbol * size) + own;
      });
    }
    this.#put(step, yHat, fresh);
  }

  /**
   * Run h_s for a window; of a picture in one piece once for all steps.
   * @param {IndexPlanes} indices @param {Window} window
   */
  async #featuresOf(indices, window) {
    if (this.features) return this.features;
    const outer = window.grown(this.reach.hyperSynthesis, IMAGE_STRIDE, this.bounds);
    const known = view(indices, outer.at(IMAGE_STRIDE));
    const all = await this.model.hyperSynthesis(known, this.quality);
    const features = view(all, window.inside(outer).at(LATENT_STRIDE));
    if (this.broad.length === 1) this.features = features;
    return features;
  }

  /**
   * Visit what a step codes of a window, in coding order.
   * @param {number} step @param {Window} window in positions of y.
   * @param {(at: number, channel: number, y: number, x: number) => void} visit
   */
  #eachOf(step, window, visit) {
    const quarter = this.channels / 4;
    const [rows, columns] = [this.grid.height / 2, this.grid.width / 2];
    for (let channel = 0; channel < this.channels; channel++) {
      const corner = STEP_CORNERS[step][Math.floor(channel / quarter)];
      for (let y = window.top + (corner >> 1); y < window.bottom; y += 2) {
        const start = (channel * rows + (y >> 1)) * columns;
        for (let x = window.left + (corner & 1); x < window.right; x += 2) {
          visit(start + (x >> 1), channel, y, x);
        }
      }
    }
  }

  /**
   * Return what of a step is coded: inside of the picture.
   * @param {number} step @param {Uint8Array} rows @param {Int16Array} [chosen]
   */
  #message(step, rows, chosen) {
    const { height, width } = this.grid;
    const [down, across] = [this.height, this.width].map((side) => Math.ceil(side / LATENT_STRIDE));
    const size = rows.length;
    const found = {
      rows: new Uint8Array(size), symbols: new Int32Array(size), positions: new Int32Array(size),
    };
    let count = 0;
    this.#eachOf(step, new Window(0, 0, down, across), (at, channel, y, x) => {
      found.rows[count] = rows[at];
      if (chosen) found.symbols[count] = chosen[at];
      found.positions[count++] = (channel * height + y) * width + x;
    });
    return {
      rows: found.rows.subarray(0, count),
      symbols: found.symbols.subarray(0, count),
      positions: found.positions.subarray(0, count),
    };
  }

  /**
   * Write what a step codes to its places.
   * @param {number} step @param {Planes | SymbolPlanes} whole
   * @param {Float32Array | Int16Array} picked
   */
  #put(step, whole, picked) {
    const { height, width } = this.grid;
    this.#eachOf(step, this.grid, (at, channel, y, x) => {
      whole.data[(channel * height + y) * width + x] = picked[at];
    });
  }

  /** @param {IndexPlanes} indices */
  #base({ data, height, width }) {
    return this.model.scaleMap.base(this.model.digitsOf(data), height, width, this.quality);
  }

  /** @param {number} step @param {Float64Array} base @param {SymbolPlanes} symbols */
  #rows(step, base, symbols) {
    return this.model.scaleMap.rows(step, base, symbols.data, this.grid.height, this.grid.width);
  }

  /** @returns {SymbolPlanes} */
  #noSymbols() {
    const { height, width } = this.grid;
    const data = new Int16Array(this.channels * height * width);
    return { data, channels: this.channels, height, width };
  }

  /** @param {number} position in y. */
  #isInside(position) {
    const { height, width } = this.grid;
    const y = Math.floor(position / width) % height;
    return y * LATENT_STRIDE < this.height && (position % width) * LATENT_STRIDE < this.width;
  }

  /** @param {Window} tile */
  #pieces(tile) {
    return this.tilePixels === Infinity ? [tile] : cut(tile, this.tilePixels);
  }

  #countFine() {
    return this.broad.reduce((count, tile) => count + this.#pieces(tile).length, 0);
  }

  /**
   * @param {Uint8ClampedArray} shown RGBA @param {Window} piece
   * @param {Uint8Array} pixels RGB of a window around it. @param {Window} seen that window.
   */
  #show(shown, piece, pixels, seen) {
    const bottom = Math.min(piece.bottom, this.height);
    const right = Math.min(piece.right, this.width);
    for (let y = piece.top; y < bottom; y++) {
      let from = 3 * ((y - seen.top) * seen.width + piece.left - seen.left);
      let to = 4 * (y * this.width + piece.left);
      for (let x = piece.left; x < right; x++, to += 4) {
        shown[to] = pixels[from++];
        shown[to + 1] = pixels[from++];
        shown[to + 2] = pixels[from++];
      }
    }
  }
}

/**
 * Write a window of some planes at 1/16, given in pixels, to its place in others.
 * @param {Planes} whole @param {Window} place @param {Planes} found @param {Window} inner
 */
function paste(whole, place, found, inner) {
  const { top, left } = place.at(LATENT_STRIDE);
  copy(whole, top, left, found, inner.at(LATENT_STRIDE));
}

/**
 * Return a window of a picture that repeats its last row and column, as cells of 4 x 4 pixels.
 * @param {Picture} picture @param {Window} window
 * @returns {Uint8Array} (48, h / 4, w / 4), in the order colour, row, column.
 */
function cellsOf({ width, height, data }, window) {
  const columns = window.width / 4;
  const plane = (window.height / 4) * columns;
  const cells = new Uint8Array(48 * plane);
  for (let y = 0; y < window.height; y++) {
    const row = Math.min(window.top + y, height - 1) * width;
    const start = (y & 3) * 4 * plane + (y >> 2) * columns;
    for (let x = 0; x < window.width; x++) {
      const from = 4 * (row + Math.min(window.left + x, width - 1));
      const to = start + (x & 3) * plane + (x >> 2);
      cells[to] = data[from];
      cells[to + 16 * plane] = data[from + 1];
      cells[to + 32 * plane] = data[from + 2];
    }
  }
  return cells;
}

/** @param {number} residual in steps @param {number} threshold @returns {number} */
function toSymbol(residual, threshold) {
  const magnitude = Math.abs(residual);
  const rounded = threshold === 0.5 ? roundHalfEven(magnitude)
    : Math.floor(Math.fround(magnitude + Math.fround(1 - threshold)));
  const bounded = Math.min(rounded, MAX_MAGNITUDE);
  return residual < 0 ? -bounded : bounded;
}

/** @param {Progress} progress @param {number} start @param {number} stop @returns {Progress} */
export function part(progress, start, stop) {
  return (share) => progress(start + (stop - start) * share);
}

/** @param {Progress} progress @param {number} count */
function counter(progress, count) {
  let done = 0;
  return () => progress(++done / count);
}
