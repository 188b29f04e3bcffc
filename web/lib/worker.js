/**
 * The thread that computes: answers the calls of `glc.js`, one after the other.
 *
 * A message in is `{id, method, args}`; messages out are `{id, progress}`, and at the end
 * `{id, result}` or `{id, error}`.
 */

import { LocalCodec } from "./codec.js";
import { pixelsOf } from "./picture.js";

/** @typedef {{runtime: string, threads: number}} Setup */

/** @type {LocalCodec | undefined} */
let codec;

/** @returns {LocalCodec} */
function loaded() {
  if (!codec) throw new Error("no model is loaded");
  return codec;
}

/** @type {Record<string, (args: any, progress: (share: number) => void) => Promise<any>>} */
const methods = {
  async load({ weights, runtime, threads }) {
    const ort = await import(runtime);
    ort.env.wasm.numThreads = threads;
    ort.env.wasm.wasmPaths = { wasm: new URL("ort-wasm-simd-threaded.wasm", runtime).href };
    codec = await LocalCodec.load(weights, ort);
    const { identity, name, takesRealism } = codec;
    return { identity, name, takesRealism };
  },
  async decode({ data, options }, progress) {
    return loaded().decode(data, { ...options, progress });
  },
  async verify({ data }) {
    return loaded().verify(data);
  },
  async encode({ picture, quality }, progress) {
    return loaded().encode(await pixelsOf(picture), quality, { progress });
  },
};

/** @type {Promise<unknown>} */
let queue = Promise.resolve();

self.addEventListener("message", ({ data: { id, method, args } }) => {
  queue = queue.then(async () => {
    try {
      const progress = (/** @type {number} */ share) => self.postMessage({ id, progress: share });
      const result = await methods[method](args, progress);
      const buffer = result?.data?.buffer ?? result?.buffer;
      self.postMessage({ id, result }, { transfer: buffer ? [buffer] : [] });
    } catch (error) {
      const { name, message } = /** @type {Error} */ (error);
      self.postMessage({ id, error: { name, message } });
    }
  });
});
