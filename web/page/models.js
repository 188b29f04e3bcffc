/**
 * The models of the site: fetched once, kept in Cache Storage by their identity, and loaded.
 */

import { Codec, WeightsError, readAll } from "../glc.js";
import { hex } from "../lib/codec.js";
import { identityOf } from "../lib/weights.js";

const KEPT = "glc-models";

/**
 * @typedef {{name: string, file: string, identity: string, bytes: number, summary: string,
 *   from_quality?: number | null}} Entry
 * @typedef {(share: number) => void} Progress
 */

/** What `site.json` says of models, and the one that is loaded. */
export class Models {
  /** @param {Entry[]} entries @param {URL} base of their addresses. */
  constructor(entries, base) {
    this.entries = entries;
    this.base = base;
    /** @type {Promise<Codec> | undefined} */
    this.codec = undefined;
    this.loaded = "";
  }

  /**
   * Return the model that a file names.
   * @param {string} model six hexadecimal digits.
   * @returns {Entry}
   * @throws {WeightsError} it is not on this site.
   */
  find(model) {
    const found = this.entries.find((entry) => entry.identity.startsWith(model));
    if (found) return found;
    const names = this.entries.map((entry) => `${entry.name} (${entry.identity.slice(0, 6)})`);
    throw new WeightsError(
      `the file was made with model ${model}, which is not on this site; it has ` +
        names.join(", "),
    );
  }

  /** Whether more than one model makes files by default. */
  get sharesQualities() {
    return this.entries.some((entry) => typeof entry.from_quality === "number");
  }

  /**
   * Return the model that makes the files of a quality, as `glc encode` has it.
   * @param {number} quality
   * @returns {Entry}
   */
  forQuality(quality) {
    const [first, ...others] = this.entries;
    return others.reduce((best, entry) => {
      const from = entry.from_quality;
      const better = typeof from === "number" && from <= quality && from >= (best.from_quality ?? 0);
      return better ? entry : best;
    }, first);
  }

  /**
   * Return the codec of a model. One is kept at a time: each takes some hundred megabytes.
   * @param {Entry} entry @param {Progress} progress told of the share that has been fetched.
   * @returns {Promise<Codec>}
   */
  open(entry, progress) {
    if (this.codec && this.loaded === entry.identity) return this.codec;
    const before = this.codec;
    this.loaded = entry.identity;
    this.codec = (async () => {
      await before?.then((codec) => codec.close(), () => {});
      return Codec.load(await this.#fetch(entry, progress));
    })();
    // A failure is not kept: the network may be back.
    this.codec.catch(() => (this.loaded = ""));
    return this.codec;
  }

  /** @param {Entry} entry @param {Progress} progress @returns {Promise<Uint8Array>} */
  async #fetch(entry, progress) {
    const url = new URL(entry.file, this.base).href;
    const cache = await kept();
    const found = await cache?.match(url);
    if (found) {
      const data = new Uint8Array(await found.arrayBuffer());
      if (hex(await identityOf(data)) === entry.identity) return data;
      await cache?.delete(url);
    }
    const response = await fetch(url);
    if (!response.ok) throw new WeightsError(`model ${entry.name}: ${response.status} from ${url}`);
    const data = await readAll(response, progress, entry.bytes);
    if (hex(await identityOf(data)) !== entry.identity) {
      const advice = "what came is not the model; load the page again";
      throw new WeightsError(`model ${entry.name}: ${advice}`);
    }
    // Where there is no room the page works on, online.
    await cache?.put(url, new Response(/** @type {any} */ (data))).catch(() => {});
    return data;
  }
}

/** @returns {Promise<Cache | undefined>} none where the browser keeps nothing. */
async function kept() {
  try {
    return await caches.open(KEPT);
  } catch {
    return undefined;
  }
}
