/**
 * Every error that bad data can raise, in the tree of `glc.errors` and by the same names.
 *
 *     GlcError
 *     +-- BitstreamError
 *     |   +-- NotGlcError       the data is not a .glc file
 *     |   +-- VersionError      a format version or a required chunk that is not known here
 *     |   +-- TruncatedError    the file ends too early
 *     |   +-- CorruptError      the file contradicts itself or its checksum
 *     |   +-- LimitError        the file asks for more than the caller's limits allow
 *     +-- WeightsError          weights missing, of the wrong identity, or malformed
 *     +-- ImageError            an input picture that cannot be read or used
 *
 * Wrong calls are a RangeError or a TypeError instead.
 */

/** Bad data of any kind; catch this one to survive every file. */
export class GlcError extends Error {
  /** @param {string} message @param {ErrorOptions} [options] */
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A file that cannot be decoded. */
export class BitstreamError extends GlcError {}

/** The first bytes are not those of a .glc file. */
export class NotGlcError extends BitstreamError {}

/** The file needs a newer release: unknown format version or unknown required chunk. */
export class VersionError extends BitstreamError {}

/** The file ends before the data that it announces. */
export class TruncatedError extends BitstreamError {}

/** The file breaks a rule of the format, or its checksum does not match. */
export class CorruptError extends BitstreamError {}

/** The file asks for more pixels or bytes than the caller's limits allow. */
export class LimitError extends BitstreamError {}

/** Weights that are missing, malformed, or not the ones that a file was made with. */
export class WeightsError extends GlcError {}

/** An input picture that cannot be read or used. */
export class ImageError extends GlcError {}

const KNOWN = [
  GlcError, BitstreamError, NotGlcError, VersionError, TruncatedError, CorruptError, LimitError,
  WeightsError, ImageError, RangeError, TypeError,
];

/**
 * Return the error that another thread met, as one of this thread.
 * @param {{name: string, message: string}} told
 * @returns {Error}
 */
export function restore(told) {
  const kind = KNOWN.find((known) => known.name === told.name);
  return kind ? new kind(told.message) : new Error(`${told.name}: ${told.message}`);
}
