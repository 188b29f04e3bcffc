/**
 * What JPEG and WebP make of a picture in as many bytes, by the browser's own encoders.
 */

import { blobOf, contextOf, element } from "./dom.js";

const SCALES = [1, 2, 4, 8];
/** WebP at 100 is without loss. */
const QUALITY_MOST = 99;
/** From here on a smaller picture would not look better. */
const QUALITY_ENOUGH = 30;
const COMPARED_PIXELS = 1 << 20;

/**
 * @typedef {object} Rival
 * @property {HTMLCanvasElement} canvas the decoded picture, in the size of the original.
 * @property {number} size bytes.
 * @property {number} quality 0 to 99, as the browser counts.
 * @property {number} scale the file has this fraction, 1 / scale, of each side.
 */

/**
 * Find the best file of a kind that has at most so many bytes: of all qualities, and of the picture
 * at full, half, quarter and eighth size, the one nearest to the original by squared error.
 * @param {HTMLCanvasElement} original
 * @param {string} type a MIME type.
 * @param {number} bytes
 * @returns {Promise<Rival | undefined>} nothing if none is so small, or the browser makes none.
 */
export async function rivalOf(original, type, bytes) {
  /** @type {Rival | undefined} */
  let best;
  let least = Infinity;
  for (const scale of SCALES) {
    const small = resized(original, original.width / scale, original.height / scale);
    const found = await largestWithin(small, type, bytes);
    if (!found) continue;
    const bitmap = await createImageBitmap(found.blob);
    const canvas = resized(bitmap, original.width, original.height);
    bitmap.close();
    const error = differenceOf(original, canvas);
    if (error < least) {
      least = error;
      best = { canvas, size: found.blob.size, quality: found.quality, scale };
    }
    if (found.quality >= QUALITY_ENOUGH) break;
  }
  return best;
}

/**
 * @param {HTMLCanvasElement} canvas @param {string} type @param {number} bytes
 * @returns {Promise<{blob: Blob, quality: number} | undefined>}
 */
async function largestWithin(canvas, type, bytes) {
  let [low, high] = [0, QUALITY_MOST];
  let best;
  while (low <= high) {
    const quality = (low + high) >> 1;
    const blob = await blobOf(canvas, type, quality / 100);
    // A browser that does not know the kind makes a PNG.
    if (blob.type !== type) return undefined;
    if (blob.size <= bytes) {
      best = { blob, quality };
      low = quality + 1;
    } else {
      high = quality - 1;
    }
  }
  return best;
}

/**
 * @param {CanvasImageSource} source @param {number} width @param {number} height
 * @returns {HTMLCanvasElement}
 */
function resized(source, width, height) {
  const canvas = element("canvas", {
    width: Math.max(1, Math.round(width)), height: Math.max(1, Math.round(height)),
  });
  const context = contextOf(canvas);
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** @param {HTMLCanvasElement} one @param {HTMLCanvasElement} other @returns {number} */
function differenceOf(one, other) {
  const { width, height } = one;
  const apart = Math.max(1, Math.ceil((width * height) / COMPARED_PIXELS));
  const [first, second] = [one, other].map((canvas) =>
    contextOf(canvas).getImageData(0, 0, width, height).data);
  let sum = 0;
  let count = 0;
  for (let y = 0; y < height; y += apart) {
    for (let at = 4 * y * width; at < 4 * (y + 1) * width; at += 4, count++) {
      for (let channel = 0; channel < 3; channel++) {
        sum += (first[at + channel] - second[at + channel]) ** 2;
      }
    }
  }
  return sum / count;
}
