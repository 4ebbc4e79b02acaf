// The @huggingface/inference package of npm against POST /: the task of the model served.

import { InferenceClient } from "@huggingface/inference";
import { check, cosine, demand, equal, near, modelAndServer, refused, sameEmbeddings, unit } from "./cases.mjs";

const { server, model, requests } = modelAndServer({ tasks: null });
const client = new InferenceClient(server["api-key"] ?? "none is set", { endpointUrl: server.http });
const texts = model.cases.map((it) => it.text);

/** `[{label, score}]` in the order of `expected`. */
function sameLabels(got, expected) {
  equal(got.map((it) => it.label), expected.map((it) => it.label));
  near(got.map((it) => it.score), expected.map((it) => it.score));
}

async function sentences() {
  const expected = model.cases.map((it) => unit(it.embedding));
  await check("featureExtraction", async () => {
    const [vector] = await client.featureExtraction({ inputs: texts[0] });
    sameEmbeddings(model, [vector], expected.slice(0, 1));
  });
  await check("featureExtraction, several texts and every option", async () => {
    const options = { normalize: true, truncate: true, truncation_direction: "right" };
    sameEmbeddings(model, await client.featureExtraction({ inputs: texts, ...options }), expected);
  });
  await check("sentenceSimilarity", async () => {
    const inputs = { source_sentence: texts[0], sentences: texts.slice(1) };
    const got = await client.sentenceSimilarity({ inputs });
    near(got, model.cases.slice(1).map((it) => cosine(model.cases[0].embedding, it.embedding)), 1e-3);
  });
  await check("what the model cannot do is refused", async () => {
    const error = await refused(Error, () => client.fillMask({ inputs: "a" , parameters: { top_k: 2 } }));
    demand(/top_k/.test(error.message + JSON.stringify(error.httpResponse ?? {})), `it says ${error.message}`);
  });
}

async function classes() {
  await check("textClassification", async () => {
    for (const { text, pipeline } of model.cases) {
      sameLabels(await client.textClassification({ inputs: text }), pipeline);
    }
  });
  await check("textClassification, top_k", async () => {
    const { text, pipeline } = model.cases[0];
    sameLabels(await client.textClassification({ inputs: text, parameters: { top_k: 1 } }), pipeline.slice(0, 1));
  });
}

async function zeroShot() {
  for (const { name, options, items, results } of requests) {
    if (!options.labels) continue;
    await check(`zeroShotClassification, ${name}`, async () => {
      for (const [index, { text }] of items.entries()) {
        const parameters = {
          candidate_labels: options.labels,
          multi_label: options.multi_label,
          hypothesis_template: options.template,
        };
        const got = await client.zeroShotClassification({ inputs: text, parameters });
        const { labels, scores } = results[index];
        sameLabels(got, labels.map((label, place) => ({ label, score: scores[place] })));
      }
    });
  }
}

async function entities() {
  for (const strategy of ["simple", "first", "average", "max"]) {
    await check(`tokenClassification, ${strategy}`, async () => {
      for (const { text, pipeline } of model.cases) {
        if (!pipeline) continue;
        const parameters = { aggregation_strategy: strategy };
        const got = await client.tokenClassification({ inputs: text, parameters });
        for (const key of ["word", "start", "end", "entity_group"]) {
          equal(got.map((it) => it[key]), pipeline[strategy].map((it) => it[key]));
        }
        near(got.map((it) => it.score), pipeline[strategy].map((it) => it.score));
      }
    });
  }
}

async function masks() {
  for (const { name, options, items, results } of requests) {
    if (Object.keys(options).some((it) => !["top_k", "targets"].includes(it))) continue;
    await check(`fillMask, ${name}`, async () => {
      for (const [index, { text }] of items.entries()) {
        // Its type has room for the words of one mask.
        const [expected, ...others] = results[index].masks;
        if (others.length > 0) continue;
        const got = await client.fillMask({ inputs: text, parameters: options });
        for (const key of ["token", "token_str", "sequence"]) {
          equal(got.map((it) => it[key]), expected.map((it) => it[key]));
        }
        near(got.map((it) => it.score), expected.map((it) => it.score));
      }
    });
  }
}

const chooses = requests.some((it) => it.options.labels);
const tasks = {
  sentence_embedding: sentences,
  sequence_classification: chooses ? zeroShot : classes,
  token_classification: entities,
  fill_mask: masks,
};
await tasks[model.task]();
