// The openai package of npm against /v1: what openai_client.py checks, in short.

import OpenAI, { AuthenticationError, BadRequestError } from "openai";
import { check, demand, equal, modelAndServer, refused, sameEmbeddings, unit } from "./cases.mjs";

const { server, model } = modelAndServer();
// No retries: a second answer must not hide the first.
const options = { baseURL: `${server.http}/v1`, apiKey: server["api-key"] ?? "none is set", maxRetries: 0 };
const client = new OpenAI(options);
const texts = model.cases.map((it) => it.text);
const expected = model.cases.map((it) => unit(it.embedding));
const create = (body) => client.embeddings.create({ model: model.name, ...body });
const vectors = (response) => response.data.map((it) => it.embedding);

await check("models.list", async () => {
  const ids = [];
  for await (const it of client.models.list()) ids.push(it.id);
  equal(ids, [model.name]);
});

await check("embeddings.create, base64 by default", async () => {
  const response = await create({ input: texts });
  equal(response.data.map((it) => it.index), [...texts.keys()]);
  sameEmbeddings(model, vectors(response), expected);
  demand(response.usage.prompt_tokens > 0, "no tokens counted");
  equal(response.usage.total_tokens, response.usage.prompt_tokens);
});

await check("embeddings.create, float", async () => {
  sameEmbeddings(model, vectors(await create({ input: texts, encoding_format: "float" })), expected);
});

await check("embeddings.create, dimensions", async () => {
  const cut = expected[0].slice(0, expected[0].length / 2);
  const response = await create({ input: texts[0], dimensions: cut.length });
  sameEmbeddings(model, vectors(response), [unit(cut)]);
});

await check("no input is a BadRequestError", async () => {
  const error = await refused(BadRequestError, () => create({ input: [] }));
  equal(Object.keys(error.error).sort(), ["code", "message", "param", "type"]);
});

if (server["api-key"]) {
  await check("a wrong key is an AuthenticationError", async () => {
    const stranger = new OpenAI({ ...options, apiKey: "wrong" });
    await refused(AuthenticationError, () => stranger.embeddings.create({ model: model.name, input: "text" }));
  });
}
