// What language models and clients make of the tools: schemas that every API takes,
// results that fit them, `null` and halves of surrogate pairs in arguments, and
// upstream's `run_encoder`. Over stdio and streamable HTTP, for a model of any task.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import Ajv2020 from "ajv/dist/2020.js";
import { isDeepStrictEqual } from "node:util";
import { check, demand, equal, modelAndServer, transports } from "./cases.mjs";

const TASKS = [
  "embedding",
  "fill_mask",
  "late_interaction",
  "sentence_embedding",
  "sequence_classification",
  "sparse_embedding",
  "token_classification",
];

// The members of `Schema` in the Gemini API's reference (function declarations).
const GEMINI = new Set(
  ("anyOf default description enum example format items maxItems maxLength maxProperties maximum minItems minLength " +
    "minProperties minimum nullable pattern properties propertyOrdering required title type").split(" "),
);

// What OpenAI's guide to function calling says of schemas in strict mode.
const OPENAI = new Set(
  ("$defs $ref additionalProperties anyOf const description enum exclusiveMaximum exclusiveMinimum format items " +
    "maxItems maximum minItems minimum multipleOf pattern properties required title type").split(" "),
);

// Of those that both name, the values that both take.
const FORMATS = new Set(["date-time"]);
const TYPES = new Set(["array", "boolean", "integer", "number", "object", "string"]);

const { server, model } = modelAndServer({ tasks: TASKS });
const strict = { strict: true, strictTypes: true, strictTuples: true, strictRequired: true };
const ajv = new Ajv2020({ ...strict, allErrors: true });
// The last is longer than the model takes.
const texts = [model.cases[0], model.cases.at(-1)].map((it) => it.text);

for (const [name, transport] of transports(server)) {
  const client = new Client({ name: "encoderfile-clients", version: "1.0.0" });
  await client.connect(transport);
  const { tools } = await client.listTools();
  await check(`${name}: the tools have schemas of arguments and results`, () => {
    demand(tools.length > 0 && tools.some((it) => it.name === "run_encoder"), `${tools.map((it) => it.name)}`);
    for (const tool of tools) demand(tool.outputSchema, `${tool.name} has no outputSchema`);
  });
  for (const tool of tools) await use(client, name, tool);
  await runEncoder(client, name);
  await client.close();
}

async function use(client, name, tool) {
  const fits = ajv.compile(tool.outputSchema);
  const given = sample(tool.inputSchema);
  const call = async (others) => {
    const result = await client.callTool({ name: tool.name, arguments: { ...given, ...others } });
    demand(!result.isError, `an error: ${result.content[0]?.text}`);
    return result.structuredContent;
  };

  await check(`${name}: ${tool.name} has schemas that every API takes`, () => {
    for (const schema of [tool.inputSchema, tool.outputSchema]) {
      ajv.compile(schema);
      equal(schema.type, "object");
      portable(schema, tool.name);
    }
  });

  await check(`${name}: ${tool.name} gives what its schema says`, async () => {
    const validate = ajv.compile(tool.inputSchema);
    demand(validate(given), `${ajv.errorsText(validate.errors)} in ${JSON.stringify(given)}`);
    const result = await call({});
    demand(fits(result), `${ajv.errorsText(fits.errors)} in ${JSON.stringify(result)}`);
    described(result, tool.outputSchema, tool.name);
  });

  const required = tool.inputSchema.required ?? [];
  const optional = Object.keys(tool.inputSchema.properties).filter((it) => !required.includes(it));
  for (const argument of optional) {
    await check(`${name}: ${tool.name} with ${argument}: null`, async () => {
      equal(await call({ [argument]: null }), await call({}));
    });
  }

  await check(`${name}: ${tool.name} with half a surrogate pair`, async () => {
    const [argument] = required;
    const as = (text) => ({ [argument]: Array.isArray(given[argument]) ? [text] : text });
    for (const half of ["\ud800", "\udc00", "\ud83d\ud83d\ude00"]) {
      const [written, read] = [half, half.toWellFormed()].map((it) => `${texts[0]} ${it}`);
      equal(await call(as(written)), await call(as(read)));
    }
  });

  await check(`${name}: ${tool.name} with an argument that is null and needed`, async () => {
    const [argument] = required;
    const result = await client.callTool({ name: tool.name, arguments: { ...given, [argument]: null } });
    demand(result.isError && result.content[0].text.includes(argument), result.content[0]?.text);
  });
}

/** The least that fits a schema, and is about something. */
function sample(schema) {
  if (schema.type === "array") return texts.map(() => sample(schema.items)).map((it, index) => texts[index] ?? it);
  if (schema.type !== "object") return texts[0];
  return Object.fromEntries((schema.required ?? []).map((name) => [name, sample(schema.properties[name])]));
}

function portable(schema, place) {
  for (const keyword of Object.keys(schema)) {
    demand(GEMINI.has(keyword) && OPENAI.has(keyword), `${place} has ${keyword}`);
  }
  demand(TYPES.has(schema.type), `${place} has the type ${JSON.stringify(schema.type)}`);
  demand(schema.format === undefined || FORMATS.has(schema.format), `${place} has the format ${schema.format}`);
  demand((schema.type === "array") === (schema.items !== undefined), `${place}: items`);
  demand((schema.type === "object") === (schema.properties !== undefined), `${place}: properties`);
  if (schema.items) portable(schema.items, `${place}[]`);
  if (!schema.properties) return;
  // "should be non-empty for OBJECT type", says Gemini.
  demand(Object.keys(schema.properties).length > 0, `${place} has no properties`);
  for (const [name, property] of Object.entries(schema.properties)) portable(property, `${place}.${name}`);
}

/** Nothing is given that the schema does not speak of. */
function described(value, schema, place) {
  if (Array.isArray(value)) value.forEach((it) => described(it, schema.items, `${place}[]`));
  if (schema.type !== "object") return;
  for (const [name, member] of Object.entries(value)) {
    demand(schema.properties[name], `${place}.${name} is not in its schema`);
    described(member, schema.properties[name], `${place}.${name}`);
  }
}

/** As upstream has it: what `/predict` gives. */
async function runEncoder(client, name) {
  const metadata = { id: "7", nothing: null, deeper: [{ nothing: null }] };
  for (const given of [{ inputs: texts }, { inputs: texts, metadata }]) {
    await check(`${name}: run_encoder with ${Object.keys(given)} gives what /predict gives`, async () => {
      const { structuredContent } = await client.callTool({ name: "run_encoder", arguments: given });
      same(structuredContent.metadata, given.metadata);
      same(structuredContent, await predict(given));
    });
  }
}

/** In whatever order members are written. */
function same(got, expected) {
  demand(isDeepStrictEqual(got, expected), `got ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`);
}

async function predict(request) {
  const headers = { "content-type": "application/json" };
  if (server["api-key"]) headers.authorization = `Bearer ${server["api-key"]}`;
  const answer = await fetch(`${server.http}/predict`, { method: "POST", headers, body: JSON.stringify(request) });
  demand(answer.ok, `${answer.status}`);
  return answer.json();
}
