/**
 * The networks of a coded file as graphs: `glc.runtime.graphs.networks`, node for node.
 *
 * A test holds the two together: from the same weights both make the same bytes.
 */

import { realisticShape, STEPS } from "./config.js";
import { Graph } from "./graph.js";
import { Layers } from "./layers.js";
import { floats, tensorOf } from "./weights.js";

const COLOURS = 3;
const INPUT_LIMIT = 10;
const FEATURE_LIMIT = 16;

/**
 * @typedef {import("./config.js").Config} Config
 * @typedef {import("./weights.js").Weights} Weights
 */

/**
 * Describe all graphs of a model, named as in Python.
 * @param {Weights} weights
 * @returns {Map<string, Graph>}
 * @throws {WeightsError} a tensor is missing, or of another shape or type.
 */
export function graphsOf(weights) {
  const { config } = weights;
  /** @type {[string, Graph][]} */
  const graphs = [
    ["E", encoderFine(config, weights)],
    ["E 16", encoderCoarse(config, weights)],
    ["g_a", analysis(config, weights)],
    ["h_a", hyperAnalysis(config, weights)],
    ["h_s", hyperSynthesis(config, weights)],
    ["g_s", synthesis(config, weights)],
    ["D 16", decoderCoarse(config, weights)],
    ["D", decoderFine(config, weights)],
  ];
  if (config.two_decoders) {
    graphs.push(["R 16", decoderCoarse(config, weights, true)]);
    graphs.push(["R", decoderFine(config, weights, true)]);
  }
  for (let step = 0; step < STEPS; step++) {
    graphs.push([`context ${step}`, context(config, weights, step)]);
  }
  return new Map(graphs);
}

/** @param {Config} config @param {Weights} weights @returns {Graph} */
function encoderFine(config, weights) {
  const graph = new Graph();
  const layers = new Layers(graph, weights);
  const { encoder_width_4: width4, encoder_width_8: width8, encoder_width_16: width16 } = config;
  let x = graph.input("x", ["b", 48, "h4", "w4"], "uint8");
  x = graph.node("Cast", [x], { to: 1 });
  x = graph.node("Div", [x, graph.scalar(127.5)]);
  const cells = graph.node("Sub", [x, graph.scalar(1)]);
  x = layers.conv(cells, "encoder.stem", 48, width4, 3);
  x = layers.plainBlocks(x, "encoder.body_4", width4, config.encoder_depth_4);
  x = layers.downsample(x, "encoder.down_8", width4, width8);
  x = layers.plainBlocks(x, "encoder.body_8", width8, config.encoder_depth_8);
  x = layers.downsample(x, "encoder.down_16", width8, width16);
  let leaving = width16;
  if (config.linear) {
    const channels = config.latent_channels;
    const components = layers.linearAnalysis(cells, "encoder.linear", channels);
    x = graph.node("Concat", [x, components], { axis: 1 });
    leaving += channels;
  }
  graph.output("features", x, ["b", leaving, "h", "w"]);
  return graph;
}

/** @param {Config} config @param {Weights} weights @returns {Graph} */
function encoderCoarse(config, weights) {
  const graph = new Graph();
  const layers = new Layers(graph, weights);
  const { encoder_width_16: width16, latent_channels: channels } = config;
  const entering = width16 + (config.linear ? channels : 0);
  const features = graph.input("features", ["b", entering, "h", "w"]);
  let x = config.linear ? layers.channels(features, 0, width16) : features;
  x = layers.depthwiseBlocks(x, "encoder.body_16", width16, config.encoder_depth_16);
  x = layers.conv(x, "encoder.head", width16, channels);
  if (config.linear) {
    const components = layers.channels(features, width16, entering);
    const added = graph.node("Mul", [x, layers.scale("encoder.scale", channels)]);
    graph.output("l", graph.node("Add", [components, added]), ["b", channels, "h", "w"]);
    return graph;
  }
  const mean = floats(weights.take("encoder.centre.running_mean", channels));
  const variance = floats(weights.take("encoder.centre.running_var", channels));
  const shape = [1, channels, 1, 1];
  const epsilon = Math.fround(1e-5);
  const deviation = variance.map((value) => Math.sqrt(Math.fround(value + epsilon)));
  x = graph.node("Sub", [x, graph.constant(tensorOf(shape, mean))]);
  const l = graph.node("Div", [x, graph.constant(tensorOf(shape, deviation))]);
  const squares = graph.node("Mul", [l, l]);
  const square = graph.node("ReduceMean", [squares], { axes: [1], keepdims: 1 });
  const length = graph.node("Sqrt", [graph.node("Add", [square, graph.scalar(1e-6)])]);
  graph.output("l", graph.node("Div", [l, length]), ["b", channels, "h", "w"]);
  return graph;
}

/** @param {Config} config @param {Weights} weights @returns {Graph} */
function analysis(config, weights) {
  const graph = new Graph();
  const layers = new Layers(graph, weights);
  const { transform_width: width, y_channels: channels } = config;
  const l = graph.input("l", ["b", config.latent_channels, "h", "w"]);
  const gainInner = graph.input("gain_inner", [1, width, 1, 1]);
  const gain = graph.input("gain", [1, channels, 1, 1]);
  const scale = config.linear ? layers.scale("analysis.scale", channels) : "";
  let x = config.linear ? graph.node("Div", [l, scale]) : l;
  x = layers.conv(x, "analysis.stem", config.latent_channels, width, 3);
  x = graph.node("Mul", [x, gainInner]);
  x = layers.depthwiseBlocks(x, "analysis.body", width, config.transform_depth);
  let y = layers.conv(x, "analysis.head", width, channels);
  if (config.linear) y = graph.node("Add", [l, graph.node("Mul", [y, scale])]);
  graph.output("y", graph.node("Mul", [y, gain]), ["b", channels, "h", "w"]);
  return graph;
}

/** @param {Config} config @param {Weights} weights @returns {Graph} */
function hyperAnalysis(config, weights) {
  const graph = new Graph();
  const layers = new Layers(graph, weights);
  const { hyper_channels: width, y_channels: channels } = config;
  const y = graph.input("y", ["b", channels, "h", "w"]);
  const magnitude = graph.node("Abs", [y]);
  const root = graph.node("Sqrt", [graph.node("Add", [magnitude, graph.scalar(1e-3)])]);
  let x = graph.node("Mul", [graph.node("Sign", [y]), root]);
  x = layers.silu(layers.conv(x, "hyper_analysis.stem", channels, width, 3));
  x = layers.downsample(x, "hyper_analysis.down_32", width, width);
  x = layers.depthwiseBlock(x, "hyper_analysis.body_32", width);
  x = layers.downsample(x, "hyper_analysis.down_64", width, width);
  x = layers.depthwiseBlock(x, "hyper_analysis.body_64", width);
  const digits = config.hyper_levels.length;
  let z = layers.conv(x, "hyper_analysis.head", width, digits);
  if (config.linear) {
    const gain = graph.input("gain", [1, channels, 1, 1]);
    const scaled = graph.node("Mul", [y, gain]);
    const mean = graph.node("AveragePool", [scaled], { kernel_shape: [4, 4], strides: [4, 4] });
    const lowPass = layers.conv(mean, "hyper_analysis.low_pass", channels, digits);
    z = graph.node("Add", [z, lowPass]);
  }
  graph.output("z", z, ["b", digits, "h64", "w64"]);
  return graph;
}

/** @param {Config} config @param {Weights} weights @returns {Graph} */
function hyperSynthesis(config, weights) {
  const graph = new Graph();
  const layers = new Layers(graph, weights);
  const width = config.hyper_channels;
  const digits = config.hyper_levels.length;
  const given = graph.input("digits", ["b", digits, "h", "w"]);
  const gain = graph.input("gain", [1, width, 1, 1]);
  const halved = graph.node("Div", [given, graph.scalar(2)]);
  let x = layers.silu(layers.conv(halved, "hyper_synthesis.stem", digits, width, 3));
  x = layers.depthwiseBlock(x, "hyper_synthesis.body_64", width);
  x = layers.upsample(x, "hyper_synthesis.up_32", width, width);
  x = layers.depthwiseBlock(x, "hyper_synthesis.body_32", width);
  x = layers.upsample(x, "hyper_synthesis.up_16", width, width);
  x = graph.node("Mul", [x, gain]);
  x = layers.depthwiseBlock(x, "hyper_synthesis.body_16", width);
  if (config.linear) {
    const lowPassGain = graph.input("low_pass_gain", [1, digits, 1, 1]);
    let picture = layers.conv(halved, "hyper_synthesis.low_pass", digits, 16 * digits, 3);
    picture = graph.node("Mul", [layers.shuffle(picture, 4), lowPassGain]);
    x = graph.node("Concat", [x, picture], { axis: 1 });
  }
  graph.output("features", x, ["b", config.features_channels, "h16", "w16"]);
  return graph;
}

/** @param {Config} config @param {Weights} weights @param {number} step @returns {Graph} */
function context(config, weights, step) {
  const graph = new Graph();
  const layers = new Layers(graph, weights);
  const { context_width: width, y_channels: channels, features_channels: entering } = config;
  const features = graph.input("features", ["b", entering, "h", "w"]);
  let yHat = "";
  let x;
  if (step === 0) {
    x = layers.conv(features, "context.first", entering, width);
  } else {
    yHat = graph.input("y_hat", ["b", channels, "h", "w"]);
    x = graph.node("Concat", [features, yHat], { axis: 1 });
    x = layers.conv(x, `context.adaptors.${step - 1}`, entering + channels, width, 3);
  }
  x = layers.depthwiseBlocks(layers.silu(x), "context.body", width, config.context_depth);
  const [first, rawStep] = layers.halves(x, `context.heads.${step}`, width, channels);
  let mean = first;
  if (config.linear) {
    let seen = layers.channels(features, config.hyper_channels, entering);
    let seenChannels = entering - config.hyper_channels;
    if (step) {
      seen = graph.node("Concat", [seen, yHat], { axis: 1 });
      seenChannels += channels;
    }
    const predicted = layers.conv(seen, `context.linear.${step}`, seenChannels, channels, 3);
    mean = graph.node("Add", [mean, predicted]);
  }
  const bounded = graph.node("Tanh", [rawStep]);
  const octaves = graph.node("Mul", [bounded, graph.scalar(Math.LN2)]);
  graph.output("mean", mean, ["b", channels, "h", "w"]);
  graph.output("quant_step", graph.node("Exp", [octaves]), ["b", channels, "h", "w"]);
  return graph;
}

/** @param {Config} config @param {Weights} weights @returns {Graph} */
function synthesis(config, weights) {
  const graph = new Graph();
  const layers = new Layers(graph, weights);
  const { transform_width: width, y_channels: channels } = config;
  const yHat = graph.input("y_hat", ["b", channels, "h", "w"]);
  const gain = graph.input("gain", [1, channels, 1, 1]);
  const gainInner = graph.input("gain_inner", [1, width, 1, 1]);
  const scaled = graph.node("Mul", [yHat, gain]);
  const scale = config.linear ? layers.scale("synthesis.scale", channels) : "";
  let x = config.linear ? graph.node("Div", [scaled, scale]) : scaled;
  x = layers.conv(x, "synthesis.stem", channels, width, 3);
  x = graph.node("Mul", [x, gainInner]);
  x = layers.depthwiseBlocks(x, "synthesis.body", width, config.transform_depth);
  let lHat = layers.conv(x, "synthesis.head", width, config.latent_channels);
  if (config.linear) lHat = graph.node("Add", [scaled, graph.node("Mul", [lHat, scale])]);
  graph.output("l_hat", lHat, ["b", config.latent_channels, "h", "w"]);
  return graph;
}

/**
 * @param {Config} config @param {Weights} weights @param {boolean} [realistic]
 * @returns {Graph}
 */
function decoderCoarse(config, weights, realistic = false) {
  const graph = new Graph();
  const layers = new Layers(graph, weights);
  const { name, shape } = decoder(config, realistic);
  const { latent_channels: channels, decoder_width_16: width16 } = shape;
  const depth = shape.decoder_depth_16;
  const lHat = graph.input("l_hat", ["b", channels, "h", "w"]);
  let x = lHat;
  let gains;
  if (config.linear) {
    x = graph.node("Div", [lHat, layers.scale("decoder.scale", channels)]);
  }
  const scaled = x;
  if (realistic) {
    x = layers.limited(x, INPUT_LIMIT);
  }
  if (shape.linear) {
    const realism = graph.input("realism", [1]);
    gains = layers.realismGains(`${name}.gains_16`, width16, depth, realism);
  }
  x = layers.conv(x, `${name}.stem`, channels, width16, 3);
  const bound = realistic ? FEATURE_LIMIT : undefined;
  x = layers.depthwiseBlocks(x, `${name}.body_16`, width16, depth, gains, bound);
  let leaving = width16;
  if (shape.linear) {
    x = graph.node("Concat", [x, lHat], { axis: 1 });
    leaving += channels;
  }
  if (realistic) {
    x = graph.node("Concat", [x, layers.means(scaled, `${name}.means`, channels)], { axis: 1 });
    leaving += COLOURS;
  }
  graph.output("features", x, ["b", leaving, "h", "w"]);
  return graph;
}

/**
 * @param {Config} config @param {Weights} weights @param {boolean} [realistic]
 * @returns {Graph}
 */
function decoderFine(config, weights, realistic = false) {
  const graph = new Graph();
  const layers = new Layers(graph, weights);
  const { name, shape } = decoder(config, realistic);
  const { decoder_width_4: width4, decoder_width_8: width8, decoder_width_16: width16 } = shape;
  const { decoder_depth_4: depth4, decoder_depth_8: depth8, latent_channels: channels } = shape;
  const entering = width16 + (shape.linear ? channels : 0) + (realistic ? COLOURS : 0);
  const features = graph.input("features", ["b", entering, "h", "w"]);
  let x = features;
  let gains8;
  let gains4;
  if (realistic) x = layers.channels(features, 0, width16);
  if (shape.linear) {
    const realism = graph.input("realism", [1]);
    gains8 = layers.realismGains(`${name}.gains_8`, width8 >> 1, depth8, realism);
    gains4 = layers.realismGains(`${name}.gains_4`, width4 >> 1, depth4, realism);
    x = layers.channels(features, 0, width16);
  }
  x = layers.upsample(x, `${name}.up_8`, width16, width8);
  x = layers.plainBlocks(x, `${name}.body_8`, width8, depth8, gains8);
  x = layers.upsample(x, `${name}.up_4`, width8, width4);
  x = layers.plainBlocks(x, `${name}.body_4`, width4, depth4, gains4);
  x = layers.shuffle(layers.conv(x, `${name}.render`, width4, 48, 3), 4);
  if (shape.linear) {
    const lHat = layers.channels(features, width16, entering);
    const linear = layers.linearSynthesis(lHat, `${name}.linear`, channels);
    x = graph.node("Add", [x, linear]);
  }
  const entered = layers.conv(x, `${name}.refine_in`, 3, shape.refine_channels, 5);
  const refined = layers.conv(
    layers.silu(entered), `${name}.refine_out`, shape.refine_channels, 3, 3,
  );
  let shown = graph.node("Add", [x, refined]);
  if (realistic) {
    const means = layers.channels(features, width16, entering);
    shown = layers.withMeans(shown, means, `${name}.spread`);
  }
  const clipped = graph.node("Clip", [shown, graph.scalar(-1), graph.scalar(1)]);
  const shifted = graph.node("Add", [clipped, graph.scalar(1)]);
  const scaled = graph.node("Mul", [shifted, graph.scalar(127.5)]);
  const levels = graph.node("Cast", [graph.node("Round", [scaled])], { to: 2 });
  const pixels = graph.node("Transpose", [levels], { perm: [0, 2, 3, 1] });
  graph.output("pixels", pixels, ["b", "height", "width", 3], "uint8");
  return graph;
}

/**
 * How the tensors of one of the decoders are called, and its shape.
 * @param {Config} config @param {boolean} realistic
 */
function decoder(config, realistic) {
  return realistic
    ? { name: "realistic_decoder", shape: realisticShape(config) }
    : { name: "decoder", shape: config };
}
