/**
 * Says what data is that is no .glc file, from its first bytes: `glc.image.sniff`.
 */

/** @param {string} text @returns {number[]} */
const latin = (text) => Array.from(text, (letter) => letter.charCodeAt(0));

/** @type {[string, string][]} */
const STARTS = [
  ["\x89PNG", "a PNG picture"],
  ["\xff\xd8\xff", "a JPEG picture"],
  ["GIF8", "a GIF picture"],
  ["BM", "a BMP picture"],
  ["II*\0", "a TIFF picture"],
  ["MM\0*", "a TIFF picture"],
  ["8BPS", "a Photoshop picture"],
  ["\xff\x0a", "a JPEG XL picture"],
  ["\0\0\0\x0cJXL ", "a JPEG XL picture"],
  ["\0\0\0\x0cjP  ", "a JPEG 2000 picture"],
  ["glca", "a .glca archive"],
  ["%PDF", "a PDF document"],
  ["PK\x03\x04", "a zip archive"],
  ["\x1f\x8b", "a gzip archive"],
  ["PAR1", "a Parquet table"],
];
const HEIC = ["heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"];
const HEAD_BYTES = 1024;

/**
 * Return what a file is, with its article; empty if unknown.
 * @param {Uint8Array} data the file, or its first kilobyte.
 * @returns {string}
 */
export function kindOf(data) {
  const head = data.subarray(0, HEAD_BYTES);
  /** @param {number} at @param {string} text */
  const has = (at, text) => latin(text).every((byte, index) => head[at + index] === byte);
  for (const [start, kind] of STARTS) if (has(0, start)) return kind;
  if (has(0, "RIFF") && has(8, "WEBP")) return "a WebP picture";
  if (has(4, "ftyp") && HEIC.some((brand) => has(8, brand))) return "a HEIC picture";
  if (has(4, "ftyp") && (has(8, "avif") || has(8, "avis"))) return "an AVIF picture";
  if (has(8, "{") && has(4, "\0\0\0\0")) return "a safetensors file";
  const text = String.fromCharCode(...head).toLowerCase();
  if (text.includes("<svg")) return "an SVG drawing";
  if (/^[\t\n\v\f\r ]*<(!doctype|html)/.test(text)) return "a web page";
  return /^[\x20-\x7e\t\n\r\f]+$/.test(text) ? "text" : "";
}
