// The line of code that computes a setting in each framework, or why there is none: the same as
// convref.explain.lines gives, which knows it from convref's dialects.

import { Unsaid } from "./frameworks/call.js";
import { kerasCode } from "./frameworks/keras.js";
import { babilimCode, brainpyCode, convrefCode, jaxCode, onnxCode } from "./frameworks/others.js";
import { torchCode } from "./frameworks/torch.js";
import { makeAxis, makeGeometry, transposedSize } from "./geometry.js";
import { written } from "./setting.js";

/** Of each framework what to import, and how to write. */
const WRITERS = {
  convref: ["from convref import conv, conv_transpose", convrefCode],
  torch: ["from torch import nn", torchCode],
  keras: ["import keras", kerasCode],
  jax: ["from jax import lax", jaxCode],
  brainpy: ["from brainpy import dnn", brainpyCode],
  babilim: ["from babilim.model.layers.convolution import Conv1D, Conv2D", babilimCode],
  onnx: ["from onnx import helper", onnxCode],
};

/** What a writer reads: the words, and what they come to for these sizes. */
function saidOf(words, geometry) {
  const along = (name) => geometry.axes.map((axis) => axis[name]);
  const word = typeof words.padding === "string" ? words.padding : "";
  const smallest = words.transposed ? transposedSize(words, geometry.outputSize) : [];
  return {
    geometry,
    axes: geometry.axes,
    rank: geometry.axes.length,
    transposed: words.transposed,
    kernelSize: geometry.kernelSize,
    stride: along("stride"),
    dilation: along("dilation"),
    inputDilation: along("inputDilation"),
    groups: geometry.groups,
    paddingMode: geometry.paddingMode,
    word,
    padding: words.padding,
    pairs: geometry.padding,
    inChannels: words.in_channels,
    outChannels: words.out_channels,
    outputPadding: geometry.axes.map((axis, number) =>
      words.transposed ? axis.size - smallest[number] : 0,
    ),
  };
}

/** As it was asked for, by pairs, or with the padding done before; each with what to know. */
function attempts(geometry, words) {
  const { padding: pairs, axes, paddingMode } = geometry;
  const found = [{ said: saidOf(words, geometry), note: "" }];
  if (typeof words.padding === "string") {
    const varies = words.padding.startsWith("same") && Math.max(...words.stride) > 1;
    const note = `for these sizes: with strides, "${words.padding}" depends on them`;
    found.push({
      said: saidOf({ ...words, padding: pairs }, geometry),
      note: varies && !words.transposed ? note : "",
    });
  }
  const spreadOut = axes.some((axis) => axis.inputDilation > 1);
  if (pairs.flat().some(Boolean) && !words.transposed && !spreadOut) {
    const inside = axes.map((axis) => makeAxis({ ...axis, size: axis.canvas, lo: 0, hi: 0 }));
    const mode = paddingMode === "zeros" ? "" : ` in the mode ${paddingMode}`;
    found.push({
      said: saidOf({ ...words, padding: "valid" }, makeGeometry(inside, geometry.groups, "zeros")),
      note: `pad the input by ${written(pairs)}${mode} first`,
      padFirst: true,
    });
  }
  return found;
}

/** {imports, code, note, padFirst}; the code is empty where the framework has no such convolution. */
export function lineOf(setting, words, dialect) {
  const [imports, write] = WRITERS[dialect];
  let why;
  for (const { said, note, padFirst = false } of attempts(setting.geometry, words)) {
    try {
      const code = write(said);
      return { imports, code, note: why && padFirst ? `${why.message}; ${note}` : note, padFirst };
    } catch (error) {
      if (!(error instanceof Unsaid)) throw error;
      why = error;
    }
  }
  return { imports: "", code: "", note: `${why.message}; ${why.mend}`, padFirst: false };
}
