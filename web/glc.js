/**
 * The glc codec in a browser: photographs in one or two kilobytes, decoded and made here.
 *
 *     import { Codec } from "./glc.js";
 *     const codec = await Codec.load("models/base.safetensors");
 *     const image = await codec.decode(bytes);        // ImageData
 *     const bytes = await codec.encode(file, 50);     // Uint8Array
 *     codec.close();
 *
 * All work is done in a worker. Nothing leaves the computer: the only requests are those for the
 * weights and the runtime, to where this file came from unless told otherwise.
 */

import { LIMITS, unpack } from "./lib/container.js";
import { hex } from "./lib/codec.js";
import { WeightsError, restore } from "./lib/errors.js";

export * from "./lib/errors.js";
export { pixelsOf } from "./lib/picture.js";

/** @typedef {import("./lib/codec.js").Picture} Picture */

/** The runtime's files, where `glc web` puts them. */
const RUNTIME = new URL("./runtime/ort.wasm.bundle.min.mjs", import.meta.url).href;
const MOST_THREADS = 8;

/**
 * @typedef {object} LoadOptions
 * @property {string | URL} [runtime] `ort.wasm.bundle.min.mjs` of onnxruntime-web, beside its
 *   `ort-wasm-simd-threaded.wasm`.
 * @property {number} [threads] one for each processor if the page is `crossOriginIsolated`, and
 *   otherwise one.
 * @property {(share: number) => void} [progress] told of the share that has been fetched.
 */

/**
 * @typedef {object} Info
 * @property {number} width pixels.
 * @property {number} height pixels.
 * @property {number} quality 0 to 100.
 * @property {string} model the beginning of the identity of the weights, six hexadecimal digits.
 * @property {number} version of the format.
 * @property {number} size bytes of the file.
 * @property {number} bitsPerPixel
 * @property {number} payloadSize bytes.
 * @property {Record<string, number>} chunks bytes of each, by tag.
 */

/**
 * Say what is in a file, without decoding it and without a model.
 * @param {Uint8Array} data
 * @returns {Info}
 * @throws {BitstreamError} of the kind that Python raises.
 */
export function info(data) {
  const { width, height, quality, model, version, payload, chunks } = unpack(data, LIMITS);
  return {
    width, height, quality, version,
    model: hex(model),
    size: data.length,
    bitsPerPixel: (8 * data.length) / (width * height),
    payloadSize: payload.length,
    chunks: Object.fromEntries(chunks.map((chunk) => [chunk.tag, chunk.data.length])),
  };
}

/** One model, ready to encode and decode, in a thread of its own. */
export class Codec {
  #worker;
  #next = 0;
  /** @type {Error | undefined} */
  #failed;
  /**
   * @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void,
   *   progress?: (share: number) => void}>}
   */
  #calls = new Map();

  /** Use `Codec.load`. */
  constructor() {
    this.#worker = new Worker(new URL("./lib/worker.js", import.meta.url), { type: "module" });
    this.#worker.addEventListener("message", ({ data }) => this.#answer(data));
    this.#worker.addEventListener("error", (event) => {
      const what = event.message || "its modules could not be loaded";
      this.#fail(new Error(`the worker of glc failed: ${what}`));
    });
    /** 32 bytes: the SHA-256 of the weights. */
    this.identity = new Uint8Array(0);
    /** Of the model. */
    this.name = "";
    /** Whether a realism changes what this model shows. */
    this.takesRealism = false;
  }

  /**
   * Load a model.
   * @param {string | URL | Blob | ArrayBuffer | Uint8Array} weights a weights file, or where it is.
   * @param {LoadOptions} [options]
   * @returns {Promise<Codec>}
   * @throws {WeightsError} missing or malformed weights.
   */
  static async load(weights, { runtime = RUNTIME, threads, progress } = {}) {
    const data = await bytesOf(weights, progress);
    const codec = new Codec();
    try {
      const most = globalThis.crossOriginIsolated ? navigator.hardwareConcurrency : 1;
      const found = await codec.#call("load", {
        weights: data,
        runtime: new URL(runtime, globalThis.location?.href).href,
        threads: threads ?? Math.min(MOST_THREADS, most || 1),
      });
      return Object.assign(codec, found);
    } catch (error) {
      codec.close();
      throw error;
    }
  }

  /**
   * Decompress a file made with this model.
   * @param {Uint8Array} data
   * @param {{realism?: number, progress?: (share: number) => void}} [options] realism: 0 shows the
   *   most faithful picture, 100 the most realistic one (default).
   * @returns {Promise<ImageData>}
   * @throws {GlcError} of the kind that Python raises.
   */
  async decode(data, { realism, progress } = {}) {
    const options = realism === undefined ? {} : { realism };
    const found = await this.#call("decode", { data, options }, progress);
    return new ImageData(found.data, found.width, found.height);
  }

  /**
   * Decode the symbols of a file and compare its checksum, without making pixels.
   * @param {Uint8Array} data
   * @returns {Promise<Uint8Array>} the symbols, in the byte form of docs/format.md, section 7.5.
   * @throws {GlcError} as `decode`.
   */
  verify(data) {
    return this.#call("verify", { data });
  }

  /**
   * Compress a picture.
   * @param {Blob | ImageData | ImageBitmap | Picture} picture
   * @param {number} [quality] 0 to 100; higher is better and larger.
   * @param {{progress?: (share: number) => void}} [options]
   * @returns {Promise<Uint8Array>} the bytes of a file.
   * @throws {ImageError} the browser cannot read the picture.
   */
  async encode(picture, quality = 50, { progress } = {}) {
    let given = picture;
    if (picture instanceof ImageData) {
      given = { width: picture.width, height: picture.height, data: picture.data };
    }
    return this.#call("encode", { picture: given, quality }, progress);
  }

  /** Say what is in a file: see `info`. @param {Uint8Array} data @returns {Info} */
  info(data) {
    return info(data);
  }

  /** End the thread; calls that have not been answered are refused. */
  close() {
    this.#worker.terminate();
    this.#fail(new Error("the codec was closed"));
  }

  /**
   * @param {string} method @param {any} args @param {(share: number) => void} [progress]
   * @returns {Promise<any>}
   */
  #call(method, args, progress) {
    return new Promise((resolve, reject) => {
      if (this.#failed) throw this.#failed;
      const id = this.#next++;
      this.#calls.set(id, { resolve, reject, progress });
      this.#worker.postMessage({ id, method, args });
    });
  }

  /** @param {{id: number, progress?: number, result?: any, error?: any}} message */
  #answer({ id, progress, result, error }) {
    const call = this.#calls.get(id);
    if (!call) return;
    if (progress !== undefined) {
      call.progress?.(progress);
      return;
    }
    this.#calls.delete(id);
    if (error) call.reject(restore(error));
    else call.resolve(result);
  }

  /** @param {Error} error */
  #fail(error) {
    this.#failed = error;
    for (const call of this.#calls.values()) call.reject(error);
    this.#calls.clear();
  }
}

/**
 * Return the bytes of a weights file.
 * @param {string | URL | Blob | ArrayBuffer | Uint8Array} weights
 * @param {(share: number) => void} [progress]
 * @returns {Promise<Uint8Array>}
 * @throws {WeightsError} there is none where it should be.
 */
async function bytesOf(weights, progress) {
  if (weights instanceof Uint8Array) return weights;
  if (weights instanceof ArrayBuffer) return new Uint8Array(weights);
  if (weights instanceof Blob) return new Uint8Array(await weights.arrayBuffer());
  let response;
  try {
    response = await fetch(weights);
  } catch (error) {
    throw new WeightsError(`no weights file ${weights}: it cannot be fetched`, { cause: error });
  }
  if (!response.ok) throw new WeightsError(`no weights file ${weights}: ${response.status}`);
  return readAll(response, progress);
}

/**
 * Read a response to its end.
 * @param {Response} response
 * @param {(share: number) => void} [progress] told of the share that has come.
 * @param {number} [expected] bytes, where the response does not say it, as with compression.
 * @returns {Promise<Uint8Array>}
 */
export async function readAll(response, progress, expected = 0) {
  const size = expected || Number(response.headers.get("content-length") ?? 0);
  if (!progress || !size || !response.body) return new Uint8Array(await response.arrayBuffer());
  const parts = [];
  let come = 0;
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    come += value.length;
    progress(Math.min(1, come / size));
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}
