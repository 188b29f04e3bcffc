/**
 * ONNX model files, written byte for byte as `glc.runtime.graphs.proto` writes them.
 *
 * Knows the few messages of the format that graphs for inference need, and no operators.
 */

import { concatenate } from "./container.js";
import { floats } from "./weights.js";

/**
 * @typedef {import("./weights.js").Tensor} Tensor
 * @typedef {number | string | number[]} Attribute
 */

const IR_VERSION = 8;
const OPSET = 17;
/** @type {Record<string, number>} */
const TYPES = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7 };
const INT = 2;
const STRING = 3;
const INTS = 7;

/** Collects operators and constants; values are named by the strings that the methods return. */
export class Graph {
  #nodes = /** @type {Uint8Array[]} */ ([]);
  #constants = /** @type {[string, Tensor][]} */ ([]);
  #inputs = /** @type {Uint8Array[]} */ ([]);
  #outputs = /** @type {Uint8Array[]} */ ([]);
  #names = 0;

  /**
   * Declare an input; sizes that may vary are given as names.
   * @param {string} name @param {(number | string)[]} shape @param {string} [kind]
   * @returns {string} the name.
   */
  input(name, shape, kind = "float32") {
    this.#inputs.push(value(name, shape, kind));
    return name;
  }

  /**
   * Declare a value an output, called `name` outside.
   * @param {string} name @param {string} found @param {(number | string)[]} shape
   * @param {string} [kind]
   */
  output(name, found, shape, kind = "float32") {
    this.#add("Identity", [found], name, {});
    this.#outputs.push(value(name, shape, kind));
  }

  /** @param {Tensor} tensor floats, or integers of 64 bits (kind I64). @returns {string} */
  constant(tensor) {
    const name = this.#fresh();
    this.#constants.push([name, tensor]);
    return name;
  }

  /** @param {number} number @returns {string} a float constant of no dimensions. */
  scalar(number) {
    return this.constant({ shape: [], kind: "F32", data: Float32Array.of(number) });
  }

  /** @param {number[]} numbers @returns {string} a constant of 64-bit integers. */
  integers(numbers) {
    return this.constant({ shape: [numbers.length], kind: "I64", data: numbers });
  }

  /**
   * Apply an operator that has one output.
   * @param {string} operator @param {string[]} inputs
   * @param {Record<string, Attribute>} [attributes]
   * @returns {string}
   */
  node(operator, inputs, attributes = {}) {
    const name = this.#fresh();
    this.#add(operator, inputs, name, attributes);
    return name;
  }

  /** @returns {Uint8Array} the model file. */
  toBytes() {
    const graph = [
      ...this.#nodes.map((node) => field(1, node)),
      text(2, "glc"),
      ...this.#constants.flatMap(([name, tensor]) => initializer(name, tensor)),
      ...this.#inputs.map((input) => field(11, input)),
      ...this.#outputs.map((output) => field(12, output)),
    ];
    const size = graph.reduce((sum, part) => sum + part.length, 0);
    const opset = field(8, concatenate([text(1, ""), integer(2, OPSET)]));
    return concatenate([integer(1, IR_VERSION), opset, tag(7, 2), varint(size), ...graph]);
  }

  #fresh() {
    this.#names += 1;
    return `v${this.#names}`;
  }

  /**
   * @param {string} operator @param {string[]} inputs @param {string} output
   * @param {Record<string, Attribute>} attributes
   */
  #add(operator, inputs, output, attributes) {
    this.#nodes.push(concatenate([
      ...inputs.map((name) => text(1, name)),
      text(2, output),
      text(4, operator),
      ...Object.entries(attributes).map(([name, item]) => field(5, attribute(name, item))),
    ]));
  }
}

/** @param {string} name @param {Tensor} tensor @returns {Uint8Array[]} */
function initializer(name, tensor) {
  const is64 = tensor.kind === "I64";
  const data = is64
    ? new Uint8Array(BigInt64Array.from(Array.from(tensor.data, BigInt)).buffer)
    : bytesOf(floats(tensor));
  const head = concatenate([
    ...tensor.shape.map((size) => integer(1, size)),
    integer(2, TYPES[is64 ? "int64" : "float32"]),
    text(8, name),
    tag(9, 2),
    varint(data.length),
  ]);
  return [tag(5, 2), varint(head.length + data.length), head, data];
}

/** @param {Float32Array} array @returns {Uint8Array} */
function bytesOf(array) {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** @param {string} name @param {(number | string)[]} shape @param {string} kind */
function value(name, shape, kind) {
  const sizes = shape.map((size) =>
    field(1, typeof size === "string" ? text(2, size) : integer(1, size)));
  const tensor = concatenate([integer(1, TYPES[kind]), field(2, concatenate(sizes))]);
  return concatenate([text(1, name), field(2, field(1, tensor))]);
}

/** @param {string} name @param {Attribute} item @returns {Uint8Array} */
function attribute(name, item) {
  const head = text(1, name);
  if (typeof item === "number") return concatenate([head, integer(3, item), integer(20, INT)]);
  if (typeof item === "string") return concatenate([head, text(4, item), integer(20, STRING)]);
  const items = item.map((entry) => integer(8, entry));
  return concatenate([head, ...items, integer(20, INTS)]);
}

/** @param {number} number @param {number} wire @returns {Uint8Array} */
function tag(number, wire) {
  return varint((number << 3) | wire);
}

/** @param {number} number not negative. @returns {Uint8Array} */
function varint(number) {
  const bytes = [];
  for (; number > 0x7f; number = Math.floor(number / 128)) bytes.push((number % 128) | 0x80);
  return Uint8Array.from([...bytes, number]);
}

/** @param {number} number @param {number} content @returns {Uint8Array} */
function integer(number, content) {
  return concatenate([tag(number, 0), varint(content)]);
}

/** @param {number} number @param {Uint8Array} content @returns {Uint8Array} */
function field(number, content) {
  return concatenate([tag(number, 2), varint(content.length), content]);
}

/** @param {number} number @param {string} content @returns {Uint8Array} */
function text(number, content) {
  return field(number, new TextEncoder().encode(content));
}
