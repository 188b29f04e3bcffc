/**
 * The codec: pictures to bytes and back, in the thread that calls it. `glc.js` has a worker do it.
 *
 * What the payload holds, and in which order, is specified in docs/format.md, section 7.
 */

import { decodeAlpha, encodeAlpha } from "./alpha.js";
import { DEFAULT_REALISM, IMAGE_STRIDE, QUALITY_MAX, REALISM_MAX } from "./config.js";
import {
  ALPHA, FORMAT_VERSION, GREY, LIMITS, MEAN_COLORS, checksumOf, concatenate, pack, unpack,
} from "./container.js";
import { CorruptError, WeightsError } from "./errors.js";
import { addMeanColors, readMeanColors } from "./mean_colors.js";
import { Model } from "./model.js";
import { Pipeline, part } from "./pipeline.js";
import { RangeDecoder, RangeEncoder } from "./range_coder.js";
import { IndexTables, ScaleTables } from "./tables.js";
import { reachOf } from "./tiles.js";
import { Weights, identityOf } from "./weights.js";

/**
 * @typedef {import("./arrays.js").Planes<Float32Array>} Planes
 * @typedef {import("./container.js").Container} Container
 * @typedef {import("./pipeline.js").Picture} Picture
 * @typedef {import("./pipeline.js").Progress} Progress
 */

/** @typedef {{side?: number}} Tiling `side`: of the tiles, in pixels; for tests. */

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
    return finish(container, pixels, this.scales);
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
    meanColorsOf(container, this.scales);
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
   * @param {Picture} picture @param {Planes} l @param {number} quality @param {Pipeline} work
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
    if (isMasked(picture)) {
      chunks.push({ tag: ALPHA, data: await encodeAlpha(planeOf(picture, 3), picture.width) });
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
   * @param {Container} container @param {Pipeline} work
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
   * @returns {Pipeline}
   */
  #work({ width, height }, quality, side) {
    return new Pipeline(this.model, this.reach, height, width, quality, side);
  }
}

/** @param {Picture} picture @returns {boolean} whether anything shines through. */
function isMasked({ data }) {
  for (let at = 3; at < data.length; at += 4) if (data[at] !== 255) return true;
  return false;
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
 * @param {ScaleTables} scales
 */
async function finish(container, data, scales) {
  const { width, height } = container;
  const symbols = meanColorsOf(container, scales);
  if (symbols) addMeanColors(data, symbols, height, width);
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

/** @param {Container} container @param {ScaleTables} scales @returns {Int32Array | undefined} */
function meanColorsOf({ chunks, width, height }, scales) {
  const chunk = chunks.find(({ tag }) => tag === MEAN_COLORS);
  return chunk && readMeanColors(chunk.data, scales, height, width);
}

/** The bytes that the checksum covers. @param {Int32Array} indices @param {Int16Array} symbols */
function canonicalOf(indices, symbols) {
  const first = new Uint8Array(2 * indices.length);
  const view = new DataView(first.buffer);
  indices.forEach((index, at) => view.setUint16(2 * at, index, true));
  // Typed arrays have the bytes of the machine, which are the right ones wherever browsers run.
  return concatenate([first, new Uint8Array(symbols.buffer)]);
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

/** @param {Uint8Array} bytes @returns {string} */
export function hex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
