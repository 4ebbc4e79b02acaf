// The two directions in which vectors differ most: where passages are on the map.

import { dot, norm } from "../ui/vectors.js";

/** @import { Vector } from "../ui/vectors.js" */
/** @typedef {{ mean: Float64Array, axes: Float64Array[], explained: number }} Components */

/** So many vectors are looked at to find the components; beyond that they hardly move. */
const SAMPLE_MAX = 500;
const ITERATIONS_MAX = 80;

/**
 * The two directions in which vectors differ most, by power iteration, and how
 * much of their variance lies in them. `before`, components of nearly the same
 * vectors, is where the search for them begins.
 *
 * @param {Vector[]} vectors
 * @param {Components} [before]
 * @returns {Components}
 */
export function principalComponents(vectors, before) {
  const step = Math.ceil(vectors.length / SAMPLE_MAX);
  const sample = vectors.filter((_, index) => index % step === 0);
  const mean = meanOf(sample);
  const rows = sample.map((vector) => Float64Array.from(vector, (value, i) => value - mean[i]));
  const total = rows.reduce((sum, row) => sum + dot(row, row), 0);
  /** @type {Float64Array[]} */
  const axes = [];
  let along = 0;
  for (let index = 0; index < 2; index++) {
    const start = before?.axes[index]?.length === mean.length ? before.axes[index] : startVector(mean.length, index);
    const [axis, variance] = powerIteration(rows, start, axes);
    // An axis may point either way: the first vector is always at the same end.
    axes.push(dot(rows[0], axis) > 0 ? axis.map((value) => -value) : axis);
    along += variance;
  }
  return { mean, axes, explained: total > 0 ? along / total : 0 };
}

/**
 * Where a vector is on the map.
 *
 * @param {Components} components
 * @param {Vector} vector
 */
export function project({ mean, axes }, vector) {
  return axes.map((axis) => axis.reduce((sum, value, i) => sum + value * (vector[i] - mean[i]), 0));
}

/** @param {Vector[]} vectors */
function meanOf(vectors) {
  const mean = new Float64Array(vectors[0].length);
  for (const vector of vectors) for (let i = 0; i < mean.length; i++) mean[i] += vector[i] / vectors.length;
  return mean;
}

/** No zeros, and not along any axis of the space. @param {number} length @param {number} index */
const startVector = (length, index) => Float64Array.from({ length }, (_, i) => Math.cos(1 + i * (index + 1)));

/**
 * The largest direction that is at right angles to `found`, and the variance in it.
 *
 * @param {Float64Array[]} rows
 * @param {Float64Array} start
 * @param {Float64Array[]} found
 * @returns {[axis: Float64Array, variance: number]}
 */
function powerIteration(rows, start, found) {
  let axis = normalised(orthogonal(Float64Array.from(start), found)) ?? start;
  let variance = 0;
  for (let iteration = 0; iteration < ITERATIONS_MAX; iteration++) {
    const next = new Float64Array(axis.length);
    variance = 0;
    for (const row of rows) {
      const part = dot(row, axis);
      variance += part * part;
      for (let i = 0; i < next.length; i++) next[i] += part * row[i];
    }
    const turned = normalised(orthogonal(next, found));
    // All vectors are the same, or all lie on the axes found.
    if (turned === undefined) return [axis, 0];
    const change = 1 - Math.abs(dot(turned, axis));
    axis = turned;
    if (change < 1e-7) break;
  }
  return [axis, variance];
}

/** @param {Float64Array} vector @param {Float64Array[]} found */
function orthogonal(vector, found) {
  for (const axis of found) {
    const part = dot(vector, axis);
    for (let i = 0; i < vector.length; i++) vector[i] -= part * axis[i];
  }
  return vector;
}

/** @param {Float64Array} vector */
function normalised(vector) {
  const length = norm(vector);
  return length > 1e-9 ? vector.map((value) => value / length) : undefined;
}
