/**
 * The alpha plane of a file: docs/format.md, section 5.1.
 */

import { CorruptError } from "./errors.js";
import { decodeGreen } from "./vp8l.js";

const CONSTANT = 0;
const VP8L = 1;
const DEFLATE = 2;
const VP8L_MAX_SIDE = 16_384;
const VP8L_MAX_PIXELS = 67_108_864;

/**
 * Return the alpha plane that a chunk holds.
 * @param {Uint8Array} data @param {number} width @param {number} height
 * @returns {Promise<Uint8Array>} (H, W).
 * @throws {CorruptError} the data is damaged or is of another size.
 */
export async function decodeAlpha(data, width, height) {
  if (data.length < 2) {
    throw new CorruptError(`alpha: expected at least 2 bytes, found ${data.length}; damaged file`);
  }
  const body = data.subarray(1);
  if (data[0] === CONSTANT) {
    if (body.length !== 1) {
      throw new CorruptError(`alpha: expected one value, found ${body.length}; damaged file`);
    }
    return new Uint8Array(width * height).fill(body[0]);
  }
  if (data[0] === VP8L) return decodeVp8l(body, width, height);
  if (data[0] === DEFLATE) return inflate(body, width, height);
  throw new CorruptError(`alpha: expected method 0 to 2, found ${data[0]}; damaged file`);
}

/**
 * Code an alpha plane without loss: as one value, or deflated. Python's VP8L takes fewer bytes.
 * @param {Uint8Array} alpha (H, W) @param {number} width
 * @returns {Promise<Uint8Array>}
 */
export async function encodeAlpha(alpha, width) {
  if (alpha.every((value) => value === alpha[0])) return Uint8Array.of(CONSTANT, alpha[0]);
  const rows = alpha.map((value, at) => (at < width ? value : value - alpha[at - width]));
  const coded = await through(new CompressionStream("deflate-raw"), rows);
  const data = new Uint8Array(coded.length + 1);
  data[0] = DEFLATE;
  data.set(coded, 1);
  return data;
}

/** @param {Uint8Array} body @param {number} width @param {number} height */
function decodeVp8l(body, width, height) {
  if (Math.max(width, height) > VP8L_MAX_SIDE || width * height > VP8L_MAX_PIXELS) {
    const size = `${width} x ${height} pixels`;
    throw new CorruptError(`alpha: ${size} are too many for VP8L; damaged file`);
  }
  return decodeGreen(body, width, height);
}

/** @param {Uint8Array} body @param {number} width @param {number} height */
async function inflate(body, width, height) {
  const size = width * height;
  const rows = await inflated(body, size);
  // A stream needs its last byte; not every runtime minds what follows it.
  const isWhole = rows?.length === size && !(await inflated(body.subarray(0, -1), size));
  if (!rows || !isWhole) {
    throw new CorruptError(`alpha: expected exactly ${size} deflated values; damaged file`);
  }
  for (let at = width; at < rows.length; at++) rows[at] += rows[at - width];
  return rows;
}

/**
 * @param {Uint8Array} body @param {number} most bytes that may come out.
 * @returns {Promise<Uint8Array | undefined>} nothing of what is cut off, damaged or too long.
 */
async function inflated(body, most) {
  try {
    return await through(new DecompressionStream("deflate-raw"), body, most);
  } catch {
    // A TypeError, of whatever words.
    return undefined;
  }
}

/**
 * @param {CompressionStream | DecompressionStream} stream @param {Uint8Array} data
 * @param {number} [most] bytes that may come out.
 * @returns {Promise<Uint8Array>}
 */
async function through(stream, data, most = Infinity) {
  const writer = stream.writable.getWriter();
  // Whatever goes wrong here goes wrong for the reader, too.
  const written = writer.write(/** @type {any} */ (data)).then(() => writer.close());
  written.catch(() => {});
  const parts = [];
  let size = 0;
  const reader = stream.readable.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > most) {
      reader.cancel().catch(() => {});
      throw new RangeError("more values than pixels");
    }
    parts.push(value);
  }
  const whole = new Uint8Array(size);
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
