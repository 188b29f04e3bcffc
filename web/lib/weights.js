/**
 * Weights files: safetensors as `glc.weights.checkpoint` writes them, and their identity.
 */

import { readConfig } from "./config.js";
import { WeightsError } from "./errors.js";

const HEADER_LIMIT = 1 << 20;
const LAYOUT = 1;
const KINDS = {
  F16: Uint16Array, F32: Float32Array, F64: Float64Array, I8: Int8Array, I16: Int16Array,
  I32: Int32Array, U8: Uint8Array,
};
/** What files do without: the bottleneck of training, and ranges for 8-bit integers. */
const UNUSED = ["bottleneck.", "ranges."];

/**
 * Half floats stay as they come, 16 bits each, until `floats` is asked for them.
 * @typedef {{shape: number[], kind: string, data: ArrayLike<number>}} Tensor
 */

/** @type {Float32Array | undefined} */
let halves;

/** @returns {Float32Array} the value of each of the 2^16 half floats. */
function halfTable() {
  return Float32Array.from({ length: 1 << 16 }, (_, bits) => {
    const exponent = (bits >> 10) & 31;
    const fraction = bits & 1023;
    const sign = bits >> 15 ? -1 : 1;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? (1024 + fraction) * 2 ** (exponent - 25) : fraction * 2 ** -24);
  });
}

/** @param {Tensor} tensor @returns {Float32Array} its values. */
export function floats({ kind, data }) {
  if (kind === "F32") return /** @type {Float32Array} */ (data);
  if (kind !== "F16") return Float32Array.from(data);
  halves ??= halfTable();
  const found = new Float32Array(data.length);
  for (let index = 0; index < data.length; index++) found[index] = halves[data[index]];
  return found;
}

/** @param {number[]} shape @param {ArrayLike<number>} data @returns {Tensor} of float32. */
export function tensorOf(shape, data) {
  const own = data instanceof Float32Array ? data : Float32Array.from(data);
  return { shape, kind: "F32", data: own };
}

/** @param {Tensor} tensor @param {number[]} shape @returns {Tensor} the same in another shape. */
export function reshape(tensor, shape) {
  return { ...tensor, shape };
}

/** The tensors of a weights file, each to be taken with the shape that is expected. */
export class Weights {
  /** @param {Uint8Array} file @throws {WeightsError} */
  constructor(file) {
    const { meta, tensors } = parse(file);
    this.config = readConfig(meta.config);
    this.name = String(meta.name);
    this.summary = String(meta.summary);
    this.tensors = tensors;
    /** @type {Set<string>} */
    this.taken = new Set();
  }

  /**
   * @param {string} name
   * @param {...number} shape
   * @returns {Tensor} of floats.
   * @throws {WeightsError} it is missing, of another shape or type, or not finite.
   */
  take(name, ...shape) {
    return this.#take(name, shape, "F", "floats");
  }

  /**
   * @param {string} name
   * @param {...number} shape
   * @returns {Tensor} of integers.
   * @throws {WeightsError} it is missing, or of another shape or type.
   */
  takeIntegers(name, ...shape) {
    return this.#take(name, shape, "IU", "integers");
  }

  /** @param {string} name @param {number[]} shape @param {string} kinds @param {string} word */
  #take(name, shape, kinds, word) {
    const tensor = this.tensors.get(name);
    if (!tensor || !kinds.includes(tensor.kind[0]) || String(tensor.shape) !== String(shape)) {
      const found = tensor ? `${tensor.kind} (${tensor.shape})` : "nothing";
      throw new WeightsError(
        `weights: ${name}: expected shape (${shape}) of ${word}, found ${found}`,
      );
    }
    if (word === "floats" && !this.taken.has(name) && !isFinite16(tensor)) {
      throw new WeightsError(`weights: ${name} holds values that are not finite`);
    }
    this.taken.add(name);
    return tensor;
  }

  /** @throws {WeightsError} there are tensors that nobody took. */
  checkAllTaken() {
    for (const name of [...this.tensors.keys()].sort()) {
      if (!this.taken.has(name)) throw new WeightsError(`weights: unexpected tensors: ${name}`);
    }
  }
}

/** @param {Tensor} tensor @returns {boolean} */
function isFinite16({ kind, data }) {
  if (kind === "F16") {
    for (let at = 0; at < data.length; at++) if ((data[at] & 0x7c00) === 0x7c00) return false;
    return true;
  }
  for (let at = 0; at < data.length; at++) if (!Number.isFinite(data[at])) return false;
  return true;
}

/**
 * Return the identity of a weights file: the SHA-256 of all its bytes.
 * @param {Uint8Array} file
 * @returns {Promise<Uint8Array>} 32 bytes.
 */
export async function identityOf(file) {
  if (!globalThis.crypto?.subtle) {
    throw new Error("SHA-256 is not to be had here: the page has to come from https or localhost");
  }
  return new Uint8Array(await crypto.subtle.digest("SHA-256", /** @type {any} */ (file)));
}

/** @param {Uint8Array} file */
function parse(file) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = file.length < 8 ? -1 : Number(view.getBigUint64(0, true));
  if (length < 0 || length > Math.min(HEADER_LIMIT, file.length - 8)) {
    throw new WeightsError("not a safetensors file");
  }
  let header;
  let meta;
  try {
    header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)));
    meta = JSON.parse(header.__metadata__.glc);
    if (typeof meta !== "object") throw new TypeError("no metadata");
  } catch (error) {
    throw new WeightsError("a safetensors file, but not weights of glc", { cause: error });
  }
  if (meta.layout !== LAYOUT) {
    throw new WeightsError(
      `weights of layout ${String(meta.layout).slice(0, 60)}; this release knows ${LAYOUT}`,
    );
  }
  /** @type {Map<string, Tensor>} */
  const tensors = new Map();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__" || UNUSED.some((start) => name.startsWith(start))) continue;
    tensors.set(name, readTensor(file.subarray(8 + length), name, entry));
  }
  return { meta, tensors };
}

/** @param {Uint8Array} data @param {string} name @param {any} entry @returns {Tensor} */
function readTensor(data, name, entry) {
  const kind = /** @type {keyof typeof KINDS} */ (entry?.dtype);
  const [start, stop] = entry?.data_offsets ?? [];
  const shape = entry?.shape;
  if (!Object.hasOwn(KINDS, kind) || !Array.isArray(shape)) {
    throw new WeightsError(`malformed weights: ${name}`);
  }
  const bytes = shape.reduce((size, side) => size * side, KINDS[kind].BYTES_PER_ELEMENT);
  if (!(start >= 0) || !(stop <= data.length) || stop - start !== bytes) {
    throw new WeightsError(`malformed weights: ${name}: expected ${bytes} bytes`);
  }
  return { shape, kind, data: new KINDS[kind](data.slice(start, stop).buffer) };
}
