/**
 * The codec: pictures to bytes and back, in the thread that calls it. `glc.js` has a worker do it.
 *
 * What the payload holds, and in which order, is specified in bitstream/FORMAT.md, section 7.
 */

import { decodeAlpha, encodeAlpha } from "./alpha.js";
import { copy, view, zeros } from "./arrays.js";
import {
  DEFAULT_REALISM, IMAGE_STRIDE, LATENT_STRIDE, QUALITY_MAX, REALISM_MAX, STEPS, STEP_CORNERS,
} from "./config.js";
import {
  ALPHA, FORMAT_VERSION, GREY, LIMITS, checksumOf, concatenate, pack, unpack,
} from "./container.js";
import { CorruptError, WeightsError } from "./errors.js";
import { Model, roundHalfEven } from "./model.js";
import { RangeDecoder, RangeEncoder } from "./range_coder.js";
import { IndexTables, ScaleTables } from "./tables.js";
import {
  BROAD_PIXELS, TILE_PIXELS, UNCUT_PIXELS, Window, cut, padded, reachOf,
} from "./tiles.js";
import { Weights, identityOf } from "./weights.js";

/**
 * @typedef {import("./arrays.js").Planes<Float32Array>} Planes
 * @typedef {import("./container.js").Container} Container
 * @typedef {(share: number) => void} Progress told of the share that is done, 0 to 1.
 */

/**
 * Pixels with their alpha last, 8 bits each.
 * @typedef {{width: number, height: number, data: Uint8Array | Uint8ClampedArray,
 *   grey?: boolean}} Picture
 */

/** @typedef {{side?: number}} Tiling `side`: of the tiles, in pixels; for tests. */

const MAX_MAGNITUDE = 32767;
const ALL = () => {};

/** One model, ready to encode and decode. */
export class LocalCodec {
  /**
   * @param {Uint8Array} file a weights file.
   * @param {Uint8Array} identity of it: see `identityOf`.
   * @param {any} runtime the module of onnxruntime-web.
   * @throws {WeightsError} malformed weights.
   */
  constructor(file, identity, runtime) {
    const weights = new Weights(file);
    this.identity = identity;
    this.name = weights.name;
    this.limits = LIMITS;
    this.config = weights.config;
    const { config } = this;
    const found = weights.tensors.get("tables.scale.frequencies")?.shape[1] ?? 0;
    this.scales = new ScaleTables(
      weights.takeIntegers("tables.scale.frequencies", 64, found),
      weights.takeIntegers("tables.scale.half_widths", 64),
    );
    const shape = [config.quality_anchors, config.hyper_size];
    this.indices = new IndexTables(weights.takeIntegers("tables.index.frequencies", ...shape));
    this.model = new Model(weights, runtime);
    weights.checkAllTaken();
    this.reach = reachOf(config);
  }

  /** @param {Uint8Array} file @param {any} runtime @returns {Promise<LocalCodec>} */
  static async load(file, runtime) {
    return new LocalCodec(file, await identityOf(file), runtime);
  }

  /** Whether a realism changes what this model shows. */
  get takesRealism() {
    return this.config.linear;
  }

  /**
   * Decompress a file.
   * @param {Uint8Array} data
   * @param {{realism?: number, progress?: Progress} & Tiling} [options] realism: 0 shows the most
   *   faithful picture, 100 the most realistic one.
   * @returns {Promise<{width: number, height: number, data: Uint8ClampedArray}>} RGBA.
   * @throws {GlcError} of the kind that Python raises.
   */
  async decode(data, { realism = DEFAULT_REALISM, progress = ALL, side } = {}) {
    checkWhole("realism", realism, REALISM_MAX);
    const container = this.#open(data);
    const work = this.#work(container, container.quality, side);
    const integers = this.#read(container, work);
    progress(0.05);
    const yHat = await work.yHat(integers, part(progress, 0.05, 0.3));
    const shown = realism / REALISM_MAX;
    const pixels = await work.picture(yHat, shown, part(progress, 0.3, 1));
    return finish(container, pixels);
  }

  /**
   * Decode the symbols of a file and compare its checksum, without making pixels.
   * @param {Uint8Array} data
   * @returns {Promise<Uint8Array>} the canonical symbols.
   * @throws {GlcError} as `decode`.
   */
  async verify(data) {
    const container = this.#open(data);
    const { canonical } = this.#read(container, this.#work(container, container.quality));
    await alphaOf(container);
    return canonical;
  }

  /**
   * Compress a picture.
   * @param {Picture} picture
   * @param {number} [quality] 0 to 100; higher is better and larger.
   * @param {{progress?: Progress} & Tiling} [options]
   * @returns {Promise<Uint8Array>} the bytes of a file.
   */
  async encode(picture, quality = 50, { progress = ALL, side } = {}) {
    checkWhole("quality", quality, QUALITY_MAX);
    checkPicture(picture);
    const work = this.#work(picture, quality, side);
    const l = await work.latent(picture, part(progress, 0, 0.6));
    return this.#code(picture, l, quality, work, part(progress, 0.6, 1));
  }

  /**
   * @param {Picture} picture @param {Planes} l @param {number} quality @param {Work} work
   * @param {Progress} progress
   */
  async #code(picture, l, quality, work, progress) {
    const { y, indices } = await work.transform(l);
    const { steps, symbols } = await work.write(y, indices, progress);
    const encoder = new RangeEncoder();
    this.indices.encode(encoder, indices.data, this.#bankOf(quality));
    for (const step of steps) {
      this.scales.encode(encoder, step.symbols, step.rows, FORMAT_VERSION);
    }
    const chunks = [];
    const alpha = planeOf(picture, 3);
    if (alpha.some((value) => value !== 255)) {
      chunks.push({ tag: ALPHA, data: await encodeAlpha(alpha, picture.width) });
    }
    if (picture.grey) chunks.push({ tag: GREY, data: new Uint8Array(0) });
    const { width, height } = picture;
    const container = {
      width, height, quality, model: this.identity.slice(0, 3), payload: encoder.finish(), chunks,
      checksum: 0, version: FORMAT_VERSION,
    };
    const canonical = canonicalOf(indices.data, symbols.data);
    container.checksum = checksumOf(container, this.identity, canonical);
    return pack(container);
  }

  /** @param {Uint8Array} data @returns {Container} */
  #open(data) {
    const container = unpack(data, this.limits);
    if (container.model.some((byte, at) => byte !== this.identity[at])) {
      throw new WeightsError(
        `the file was made with model ${hex(container.model)}, but this is ${this.name} ` +
          `(${hex(this.identity.slice(0, 3))}); decode it with its own model`,
      );
    }
    return container;
  }

  /**
   * Decode a payload and compare its checksum; no float is computed.
   * @param {Container} container @param {Work} work
   */
  #read(container, work) {
    const decoder = new RangeDecoder(container.payload);
    const { height, width } = work.bounds.at(IMAGE_STRIDE);
    const indices = { data: new Int32Array(height * width), channels: 1, height, width };
    this.indices.decode(decoder, indices.data, this.#bankOf(container.quality));
    const symbols = work.read(indices, (rows) =>
      this.scales.decode(decoder, rows, container.version));
    const canonical = canonicalOf(indices.data, symbols.data);
    const found = checksumOf(container, this.identity, canonical);
    if (found !== container.checksum) {
      const [said, given] = [container.checksum, found].map((sum) =>
        sum.toString(16).padStart(8, "0"));
      throw new CorruptError(
        `checksum: the file says ${said}, the decoded symbols give ${given}; the file is damaged`,
      );
    }
    return { indices, symbols, canonical };
  }

  /** The z table of a quality: that of the nearest anchor. @param {number} quality */
  #bankOf(quality) {
    const anchors = this.config.quality_anchors;
    return Math.floor((quality * (anchors - 1) + QUALITY_MAX / 2) / QUALITY_MAX);
  }

  /**
   * @param {{width: number, height: number}} size @param {number} quality @param {number} [side]
   * @returns {Work}
   */
  #work({ width, height }, quality, side) {
    return new Work(this.model, this.reach, height, width, quality, side);
  }
}

/**
 * A model at work on one picture, in tiles if it is large.
 *
 * Rows need integers alone, so that a reader has all symbols, and compares their checksum, before
 * it computes the first float; and y_hat needs no rows. What is whole here has 1/256 of the
 * picture's positions.
 */
class Work {
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
 * @typedef {{data: Int32Array, channels: number, height: number, width: number}} IndexPlanes
 * @typedef {{data: Int16Array, channels: number, height: number, width: number}} SymbolPlanes
 */

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

/** @param {Picture} picture @param {number} channel @returns {Uint8Array} (H, W). */
function planeOf({ width, height, data }, channel) {
  const plane = new Uint8Array(width * height);
  for (let at = 0; at < plane.length; at++) plane[at] = data[4 * at + channel];
  return plane;
}

/**
 * Turn decoded pixels into the picture that the file holds.
 * @param {Container} container @param {Uint8ClampedArray} data RGBA.
 */
async function finish(container, data) {
  const { width, height } = container;
  if (container.chunks.some((chunk) => chunk.tag === GREY)) {
    for (let at = 0; at < data.length; at += 4) {
      const sum = 19595 * data[at] + 38470 * data[at + 1] + 7471 * data[at + 2] + 32768;
      data.fill(sum >> 16, at, at + 3);
    }
  }
  const alpha = await alphaOf(container);
  if (alpha) for (let at = 0; at < alpha.length; at++) data[4 * at + 3] = alpha[at];
  return { width, height, data };
}

/** @param {Container} container @returns {Promise<Uint8Array | undefined>} */
async function alphaOf({ chunks, width, height }) {
  const chunk = chunks.find(({ tag }) => tag === ALPHA);
  return chunk && decodeAlpha(chunk.data, width, height);
}

/** The bytes that the checksum covers. @param {Int32Array} indices @param {Int16Array} symbols */
function canonicalOf(indices, symbols) {
  const first = new Uint8Array(2 * indices.length);
  const view = new DataView(first.buffer);
  indices.forEach((index, at) => view.setUint16(2 * at, index, true));
  // Typed arrays have the bytes of the machine, which are the right ones wherever browsers run.
  return concatenate([first, new Uint8Array(symbols.buffer)]);
}

/** @param {number} residual in steps @param {number} threshold @returns {number} */
function toSymbol(residual, threshold) {
  const magnitude = Math.abs(residual);
  const rounded = threshold === 0.5 ? roundHalfEven(magnitude)
    : Math.floor(Math.fround(magnitude + Math.fround(1 - threshold)));
  const bounded = Math.min(rounded, MAX_MAGNITUDE);
  return residual < 0 ? -bounded : bounded;
}

/** @param {string} name @param {number} value @param {number} most */
function checkWhole(name, value, most) {
  if (!Number.isInteger(value) || value < 0 || value > most) {
    throw new RangeError(`${name}: expected a whole number from 0 to ${most}, found ${value}`);
  }
}

/** @param {Picture} picture */
function checkPicture({ width, height, data }) {
  if (!(width >= 1 && height >= 1) || data?.length !== 4 * width * height) {
    throw new TypeError("picture: expected width, height and four bytes for each pixel");
  }
}

/** @param {Progress} progress @param {number} start @param {number} stop @returns {Progress} */
function part(progress, start, stop) {
  return (share) => progress(start + (stop - start) * share);
}

/** @param {Progress} progress @param {number} count */
function counter(progress, count) {
  let done = 0;
  return () => progress(++done / count);
}

/** @param {Uint8Array} bytes @returns {string} */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
