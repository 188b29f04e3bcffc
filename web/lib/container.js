/**
 * The .glc container: sizes, an opaque payload and tagged chunks. See docs/format.md.
 *
 * Knows nothing of networks, entropy coding or image files.
 */

import { CorruptError, LimitError, NotGlcError, TruncatedError, VersionError } from "./errors.js";
import { kindOf } from "./foreign.js";

export const FORMAT_VERSION = 2;
const FORMAT_VERSIONS = [1, 2];
const MAGIC = [0x67, 0xc0];
const MODEL_BYTES = 3;
export const QUALITY_MAX = 100;
const CHUNKS_FLAG = 0x80;
const MAX_CHUNKS = 52;
const VARINT_MAX_BYTES = 4;
export const ALPHA = "A";
export const GREY = "g";
export const MEAN_COLORS = "c";

/**
 * What a reader accepts; checked before anything is allocated.
 * @typedef {{maxPixels: number, maxSide: number, maxChunkBytes: number}} Limits
 */

/** @type {Limits} */
export const LIMITS = { maxPixels: 178_956_970, maxSide: 65_535, maxChunkBytes: 1 << 26 };

/**
 * @typedef {object} Container
 * @property {number} width pixels of the original picture.
 * @property {number} height pixels of the original picture.
 * @property {number} quality 0 to 100.
 * @property {Uint8Array} model the first 3 bytes of the identity of the weights.
 * @property {Uint8Array} payload the coded symbols.
 * @property {{tag: string, data: Uint8Array}[]} chunks in file order.
 * @property {number} checksum CRC-32 as the file states it.
 * @property {number} version of the format.
 */

/** Reads fields from the front of a file; a length is compared with what is left. */
class Cursor {
  /** @param {Uint8Array} data */
  constructor(data) {
    this.data = data;
    this.offset = 0;
  }

  /** @param {number} length @param {string} field @returns {Uint8Array} */
  take(length, field) {
    const left = this.data.length - this.offset;
    if (length > left) {
      throw new TruncatedError(
        `${field}: expected ${length} bytes at offset ${this.offset}, found ${left}; ` +
          "the file is incomplete, copy or download it again",
      );
    }
    this.offset += length;
    return this.data.subarray(this.offset - length, this.offset);
  }

  /** @param {string} field @returns {number} */
  byte(field) {
    return this.take(1, field)[0];
  }

  /** @param {string} field @returns {number} */
  varint(field) {
    let value = 0;
    for (let position = 0; position < VARINT_MAX_BYTES; position++) {
      const byte = this.byte(field);
      value |= (byte & 0x7f) << (7 * position);
      if (byte >= 0x80) continue;
      if (byte === 0 && position > 0) {
        throw new CorruptError(
          `${field}: expected the shortest form of ${value}, found ${position + 1} bytes; ` +
            "the file is damaged",
        );
      }
      return value;
    }
    throw new CorruptError(
      `${field}: expected at most ${VARINT_MAX_BYTES} bytes, found more; the file is damaged`,
    );
  }

  finish() {
    const left = this.data.length - this.offset;
    if (left) {
      throw new CorruptError(
        `end of file: expected at offset ${this.offset}, found ${left} more bytes; ` +
          "the file is damaged or something was appended to it",
      );
    }
  }
}

/**
 * Return what a .glc file says. Only its structure is checked: see `checksumOf`.
 * @param {Uint8Array} data the whole file.
 * @param {Limits} [limits]
 * @returns {Container}
 * @throws {BitstreamError} of the kind that Python raises.
 */
export function unpack(data, limits = LIMITS) {
  if (!(data instanceof Uint8Array)) throw new TypeError("data: expected a Uint8Array");
  const cursor = new Cursor(data);
  const version = readVersion(cursor);
  const model = cursor.take(MODEL_BYTES, "model identity").slice();
  const flags = cursor.byte("quality");
  const quality = flags & ~CHUNKS_FLAG;
  if (quality > QUALITY_MAX) {
    throw new CorruptError(
      `quality: expected 0 to ${QUALITY_MAX}, found ${quality}; the file is damaged`,
    );
  }
  const width = cursor.varint("width") + 1;
  const height = cursor.varint("height") + 1;
  checkSize(width, height, limits);
  const length = cursor.varint("payload length");
  const payload = cursor.take(length, "payload").slice();
  const chunks = flags & CHUNKS_FLAG ? readChunks(cursor, limits) : [];
  const checksum = readUint32(cursor.take(4, "checksum"));
  cursor.finish();
  return { width, height, quality, model, payload, chunks, checksum, version };
}

/**
 * Return the bytes of a .glc file; `unpack` gives back an equal container.
 * @param {Container} container
 * @returns {Uint8Array}
 */
export function pack(container) {
  const { checksum } = container;
  const sum = [checksum & 255, (checksum >>> 8) & 255, (checksum >>> 16) & 255, checksum >>> 24];
  return concatenate([
    headerOf(container), container.payload, chunksOf(container), Uint8Array.from(sum),
  ]);
}

/**
 * Return the checksum that the file must carry if it decodes to these symbols (section 6).
 * @param {Container} container
 * @param {Uint8Array} identity 32 bytes, of the weights in use.
 * @param {Uint8Array} symbols in the byte form of section 7.5.
 * @returns {number}
 */
export function checksumOf(container, identity, symbols) {
  let crc = crc32(headerOf(container), 0);
  crc = crc32(identity, crc);
  crc = crc32(chunksOf(container), crc);
  return crc32(symbols, crc);
}

/** @param {Cursor} cursor @returns {number} */
function readVersion(cursor) {
  if (!cursor.data.length) {
    throw new TruncatedError("the file is empty; copy or download it again");
  }
  if (cursor.byte("magic") !== MAGIC[0]) throw new NotGlcError(notGlc(cursor.data));
  const second = cursor.byte("magic");
  if ((second & 0xf0) !== MAGIC[1]) throw new NotGlcError(notGlc(cursor.data));
  const version = second & 0x0f;
  if (!FORMAT_VERSIONS.includes(version)) {
    throw new VersionError(
      `format version: expected ${FORMAT_VERSIONS.join(" or ")}, found ${version}; ` +
        "a newer release of glc may read this file",
    );
  }
  return version;
}

/** @param {Uint8Array} data @returns {string} */
function notGlc(data) {
  const kind = kindOf(data);
  return kind ? `this is ${kind}, not a .glc file` : "this is not a .glc file";
}

/** @param {number} width @param {number} height @param {Limits} limits */
function checkSize(width, height, limits) {
  if (Math.max(width, height) > limits.maxSide) {
    throw new LimitError(
      `picture size: expected sides of at most ${limits.maxSide}, found ${width} x ${height}`,
    );
  }
  if (width * height > limits.maxPixels) {
    throw new LimitError(
      `picture size: expected at most ${limits.maxPixels} pixels, found ${width} x ${height}`,
    );
  }
}

/** @param {Cursor} cursor @param {Limits} limits */
function readChunks(cursor, limits) {
  const count = cursor.varint("chunk count");
  if (count < 1 || count > MAX_CHUNKS) {
    throw new CorruptError(
      `chunk count: expected 1 to ${MAX_CHUNKS}, found ${count}; the file is damaged`,
    );
  }
  /** @type {{tag: string, data: Uint8Array}[]} */
  const chunks = [];
  let total = 0;
  for (let index = 0; index < count; index++) {
    const tag = readTag(cursor);
    if (chunks.some((chunk) => chunk.tag === tag)) {
      throw new CorruptError(
        `chunk tag: expected every tag once, found '${tag}' twice; the file is damaged`,
      );
    }
    const length = cursor.varint(`length of chunk '${tag}'`);
    total += length;
    if (total > limits.maxChunkBytes) {
      throw new LimitError(
        `chunks: expected at most ${limits.maxChunkBytes} bytes in all, found ${total}`,
      );
    }
    if (tag === GREY && length) {
      throw new CorruptError(
        `chunk '${GREY}': expected no data, found ${length} bytes; the file is damaged`,
      );
    }
    chunks.push({ tag, data: cursor.take(length, `chunk '${tag}'`).slice() });
  }
  return chunks;
}

/** @param {Cursor} cursor @returns {string} */
function readTag(cursor) {
  const byte = cursor.byte("chunk tag");
  const tag = String.fromCharCode(byte);
  if (!/^[A-Za-z]$/.test(tag)) {
    const found = byte.toString(16).padStart(2, "0");
    throw new CorruptError(
      `chunk tag: expected an ASCII letter, found byte ${found}; the file is damaged`,
    );
  }
  if (/[A-Z]/.test(tag) && tag !== ALPHA) {
    throw new VersionError(
      `chunk tag: expected one of ${ALPHA} or a lower-case letter, found '${tag}'; ` +
        "a newer release of glc may read this file",
    );
  }
  return tag;
}

/** @param {Container} container @returns {Uint8Array} the bytes before the payload. */
function headerOf(container) {
  const flags = container.quality | (container.chunks.length ? CHUNKS_FLAG : 0);
  return Uint8Array.from([
    MAGIC[0], MAGIC[1] | container.version, ...container.model, flags,
    ...varint(container.width - 1), ...varint(container.height - 1),
    ...varint(container.payload.length),
  ]);
}

/** @param {Container} container @returns {Uint8Array} the bytes behind the payload. */
function chunksOf(container) {
  const { chunks } = container;
  if (!chunks.length) return new Uint8Array(0);
  /** @type {Uint8Array[]} */
  const parts = [Uint8Array.from(varint(chunks.length))];
  for (const { tag, data } of chunks) {
    parts.push(Uint8Array.from([tag.charCodeAt(0), ...varint(data.length)]), data);
  }
  return concatenate(parts);
}

/** @param {number} value @returns {number[]} */
function varint(value) {
  const bytes = [];
  for (; value > 0x7f; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}

/** @param {Uint8Array} bytes @returns {number} */
function readUint32(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
}

/** @param {Uint8Array[]} parts @returns {Uint8Array} */
export function concatenate(parts) {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** Of every byte. */
const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

/** @param {Uint8Array} data @param {number} crc of what came before @returns {number} */
function crc32(data, crc) {
  crc = ~crc;
  for (let index = 0; index < data.length; index++) {
    crc = CRC_TABLE[(crc ^ data[index]) & 255] ^ (crc >>> 8);
  }
  return ~crc >>> 0;
}
