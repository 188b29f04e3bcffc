/**
 * Answers the tests of the JavaScript library, in Node and without any package.
 *
 *     node probe.mjs COMMAND ARGUMENTS      arguments are JSON, so is the answer
 */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

const lib = new URL("../../web/lib/", import.meta.url);
const load = (name) => import(new URL(`${name}.js`, lib).href);
const bytes = (hex) => new Uint8Array(Buffer.from(hex, "hex"));
const sha256 = (data) => createHash("sha256").update(data).digest("hex");

const commands = {
  /** The SHA-256 of every graph of a weights file. */
  async graphs(path) {
    const { Weights } = await load("weights");
    const { graphsOf } = await load("networks");
    const graphs = graphsOf(new Weights(new Uint8Array(readFileSync(path))));
    return Object.fromEntries([...graphs].map(([name, graph]) => [name, sha256(graph.toBytes())]));
  },
};

const [command, ...given] = process.argv.slice(2);
console.log(JSON.stringify(await commands[command](...given.map((text) => JSON.parse(text)))));
