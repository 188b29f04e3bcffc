/**
 * Answers the tests of the JavaScript library, in Node and without any package.
 *
 *     node probe.mjs COMMAND < argument.json > answer.json
 */

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

const lib = new URL("../../web/lib/", import.meta.url);
const load = (name) => import(new URL(`${name}.js`, lib).href);
const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));
const digits = (data) => Buffer.from(data).toString("hex");
const sha256 = (data) => createHash("sha256").update(data).digest("hex");
const tensor = (data, ...shape) => ({ shape, kind: "I32", data: data.flat() });

/** Tables of what Python has as two lists. */
async function scaleTables([frequencies, halfWidths]) {
  const { ScaleTables } = await load("tables");
  return new ScaleTables(tensor(frequencies, 64, frequencies[0].length), tensor(halfWidths, 64));
}

const commands = {
  /** The SHA-256 of every graph of a weights file. */
  async graphs(path) {
    const { Weights } = await load("weights");
    const { graphsOf } = await load("networks");
    const graphs = graphsOf(new Weights(new Uint8Array(readFileSync(path))));
    return Object.fromEntries([...graphs].map(([name, graph]) => [name, sha256(graph.toBytes())]));
  },

  /** The name of a model, or the error that its weights file gives. */
  async load(path) {
    const { LocalCodec } = await load("codec");
    try {
      return { name: (await LocalCodec.load(new Uint8Array(readFileSync(path)))).name };
    } catch (error) {
      return { error: error.name, message: error.message };
    }
  },

  /** A stream of one message of indices and several of symbols, and what is read from it. */
  async messages({ scales, index, row, version, indices, messages }) {
    const { RangeDecoder, RangeEncoder } = await load("range_coder");
    const { IndexTables } = await load("tables");
    const tables = await scaleTables(scales);
    const ofZ = new IndexTables(tensor(index, index.length, index[0].length));
    const encoder = new RangeEncoder();
    ofZ.encode(encoder, Int32Array.from(indices), row);
    for (const [rows, symbols] of messages) {
      tables.encode(encoder, Int32Array.from(symbols), Uint8Array.from(rows), version);
    }
    const coded = encoder.finish();
    const decoder = new RangeDecoder(coded);
    const found = new Int32Array(indices.length);
    ofZ.decode(decoder, found, row);
    const read = messages.map(([rows]) =>
      Array.from(tables.decode(decoder, Uint8Array.from(rows), version)));
    return { bytes: digits(coded), indices: Array.from(found), symbols: read };
  },

  /** What each of some files says, or the error that it gives. */
  async unpack(files) {
    const { pack, unpack } = await load("container");
    return files.map((hex) => {
      try {
        const found = unpack(bytes(hex));
        const back = digits(pack(found));
        const chunks = found.chunks.map(({ tag, data }) => [tag, digits(data)]);
        const [model, payload] = [digits(found.model), digits(found.payload)];
        return { ...found, chunks, model, payload, back };
      } catch (error) {
        return { error: error.name, message: error.message };
      }
    });
  },

  /** The SHA-256 of the symbols of each of some files, or the error that it gives. */
  async verify({ weights, files }) {
    const { LocalCodec } = await load("codec");
    const codec = await LocalCodec.load(new Uint8Array(readFileSync(weights)), undefined);
    const found = [];
    for (const hex of files) {
      try {
        found.push(sha256(await codec.verify(bytes(hex))));
      } catch (error) {
        found.push(error.name);
      }
    }
    return found;
  },

  /**
   * Decode files and encode pictures with onnxruntime-web; large data goes by files. Each job is
   * `[file, realism, side, output]` or `[pixels, width, height, quality, side, output]`.
   */
  async code({ weights, runtime, decode = [], encode = [] }) {
    const ort = await import(runtime);
    ort.env.wasm.numThreads = 1;
    const { LocalCodec } = await load("codec");
    const codec = await LocalCodec.load(new Uint8Array(readFileSync(weights)), ort);
    const times = [];
    const timed = async (work) => {
      const start = performance.now();
      const found = await work();
      times.push(Math.round(performance.now() - start));
      return found;
    };
    for (const [file, realism, side, output] of decode) {
      const data = new Uint8Array(readFileSync(file));
      const options = { realism: realism ?? undefined, side: side ?? undefined };
      writeFileSync(output, (await timed(() => codec.decode(data, options))).data);
    }
    for (const [file, width, height, quality, side, output] of encode) {
      const picture = { width, height, data: new Uint8Array(readFileSync(file)) };
      const options = { side: side ?? undefined };
      writeFileSync(output, await timed(() => codec.encode(picture, quality, options)));
    }
    return times;
  },

  /** The SHA-256 of all pairs of two levels, mixed at each realism of so many steps. */
  async mixtures(steps) {
    const { mix } = await load("model");
    const faithful = Uint8Array.from({ length: 1 << 16 }, (_, at) => at >> 8);
    const realistic = Uint8Array.from({ length: 1 << 16 }, (_, at) => at & 255);
    return Array.from({ length: steps + 1 }, (_, step) =>
      sha256(mix(faithful, realistic, step / steps)));
  },

  /** RGBA pixels, as hexadecimal digits, with mean colours added to each. */
  async addMeanColors(pictures) {
    const { addMeanColors } = await load("mean_colors");
    return pictures.map(([hex, symbols, height, width]) => {
      const pixels = Uint8ClampedArray.from(bytes(hex));
      addMeanColors(pixels, Int32Array.from(symbols), height, width);
      return digits(pixels);
    });
  },

  /** Symbols of mean colours of chunks, or the error that each gives. */
  async readMeanColors({ scales, chunks }) {
    const { readMeanColors } = await load("mean_colors");
    const tables = await scaleTables(scales);
    return chunks.map(([hex, height, width]) => {
      try {
        return Array.from(readMeanColors(bytes(hex), tables, height, width));
      } catch (error) {
        return { error: error.name, message: error.message };
      }
    });
  },

  /** Alpha planes of chunks, as hexadecimal digits, or the error that each gives. */
  async alpha(chunks) {
    const { decodeAlpha, encodeAlpha } = await load("alpha");
    const found = [];
    for (const [hex, width, height] of chunks) {
      try {
        const plane = await decodeAlpha(bytes(hex), width, height);
        found.push([digits(plane), digits(await encodeAlpha(plane, width))]);
      } catch (error) {
        found.push(error.name);
      }
    }
    return found;
  },
};

process.stdin.setEncoding("utf8");
const given = JSON.parse((await process.stdin.toArray()).join(""));
const command = process.argv[2];
console.log(JSON.stringify(await commands[command](given)));
