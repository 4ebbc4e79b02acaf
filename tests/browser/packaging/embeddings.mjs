// What is right.

import assert from "node:assert/strict";
import { texts } from "./fixtures/shared/texts.js";

/** The same program on the same machine: only what is stored and sent lies between. */
const ERROR_MAX = 1e-6;

/** The embeddings by the project's package in Node, checked by what they mean. */
export async function reference(project) {
  const { node } = JSON.parse(await project.node("reference.js"));
  assert.equal(node.length, texts.length);
  const [cat, kitten, bank] = node;
  const [near, far] = [cosine(cat, kitten), cosine(cat, bank)];
  assert.ok(near > far + 0.3, `the cat is ${near} from the kitten and ${far} from the bank`);
  return node;
}

/** Checks each of several results by its name; `names` are all there should be. */
export function check(found, names, expected) {
  assert.equal(found.error, undefined, `the package failed: ${JSON.stringify(found.error)}`);
  assert.deepEqual(Object.keys(found), names);
  for (const [name, embeddings] of Object.entries(found)) {
    const sizes = embeddings.map((embedding) => embedding.length);
    assert.deepEqual(sizes, expected.map((embedding) => embedding.length), `${name}: sizes`);
    const [a, b] = [embeddings.flat(), expected.flat()];
    const error = Math.max(...a.map((value, index) => Math.abs(value - b[index])));
    // Not `>`: what is no number is not right, either.
    assert.ok(error <= ERROR_MAX, `${name}: differs from Node's by ${error}`);
  }
}

export function cosine(a, b) {
  const dot = (x, y) => x.reduce((sum, value, index) => sum + value * y[index], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
