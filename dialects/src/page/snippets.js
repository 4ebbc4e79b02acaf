// The request of a tool, as it is sent from elsewhere. A snippet never holds the key.

import { byId } from "../ui/dom.js";
import { hasKey, origin } from "./server.js";
import { tabs } from "./tabs.js";

/** @import { FileInfo, PredictRequest } from "./answers.js" */
/** @import { Panel } from "./run.js" */

/** @param {string} text */
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** @param {unknown} value */
const json = (value) => JSON.stringify(value, null, 2);

/** @param {string} text @param {number} by */
const indented = (text, by) => text.replaceAll("\n", `\n${" ".repeat(by)}`);

/**
 * A value as Python writes it; strings of JSON are strings of Python.
 *
 * @param {unknown} value
 * @returns {string}
 */
function python(value, indent = 0) {
  const pad = " ".repeat(indent + 4);
  const close = " ".repeat(indent);
  if (Array.isArray(value)) {
    return `[\n${value.map((item) => `${pad}${python(item, indent + 4)},\n`).join("")}${close}]`;
  }
  if (value && typeof value === "object") {
    const items = Object.entries(value).map(([name, item]) => `${pad}"${name}": ${python(item, indent + 4)},\n`);
    return `{\n${items.join("")}${close}}`;
  }
  return typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);
}

/** @param {string} path @param {unknown} body */
function curl(path, body) {
  const authorization = hasKey() ? ` \\\n  -H "Authorization: Bearer $API_KEY"` : "";
  return `curl ${origin}/${path} \\\n  -H 'Content-Type: application/json'${authorization} \\\n  -d ${quoted(json(body))}`;
}

/** @param {FileInfo} info @param {PredictRequest} body */
const openaiBody = ({ name }, { inputs, dimensions }) =>
  ({ model: name, input: inputs, ...(dimensions !== undefined && { dimensions }) });

/**
 * OpenAI's request has no field for a prompt.
 *
 * @param {PredictRequest} body
 */
const promptRemark = (body) =>
  "role" in body || "prompt" in body || "prompt_name" in body ? "# OpenAI's API has no prompts: the model's default is used.\n" : "";

/** @param {FileInfo} info @param {PredictRequest} body */
function pythonOpenai(info, body) {
  const values = Object.entries(openaiBody(info, body)).map(([name, value]) => `    ${name}=${python(value, 4)},\n`);
  const key = hasKey() ? `os.environ["API_KEY"]` : `"none"`;
  return `# pip install openai\n${promptRemark(body)}${hasKey() ? "import os\n\n" : ""}from openai import OpenAI

client = OpenAI(base_url="${origin}/v1", api_key=${key})
response = client.embeddings.create(
${values.join("")})
vectors = [item.embedding for item in response.data]`;
}

/** @param {PredictRequest} body */
function javascript(body) {
  const authorization = hasKey() ? `\n    Authorization: \`Bearer \${apiKey}\`,` : "";
  return `const response = await fetch("${origin}/predict", {
  method: "POST",
  headers: {
    "Content-Type": "application/json",${authorization}
  },
  body: JSON.stringify(${indented(json(body), 2)}),
});
if (!response.ok) throw new Error((await response.json()).error);
const { results } = await response.json();`;
}

/** @param {PredictRequest} body */
function pythonRequests(body) {
  const headers = hasKey() ? `\n    headers={"Authorization": f"Bearer {os.environ['API_KEY']}"},` : "";
  return `# pip install requests\n${hasKey() ? "import os\n\n" : ""}import requests

response = requests.post(
    "${origin}/predict",${headers}
    json=${python(body, 4)},
)
response.raise_for_status()
results = response.json()["results"]`;
}

/** @typedef {[method: string, input: unknown, options: Record<string, unknown>]} HubCall */

/**
 * The call of `huggingface_hub` that makes this request, if there is one.
 *
 * @param {string} capability
 * @param {PredictRequest} body
 * @returns {HubCall | undefined}
 */
function hubCall(capability, body) {
  const [text] = body.inputs;
  switch (capability) {
    case "embed":
      if ("role" in body || "prompt" in body) return undefined;
      return ["feature_extraction", body.inputs, { prompt_name: body.prompt_name, dimensions: body.dimensions }];
    case "classify":
      return typeof text === "string" ? ["text_classification", text, {}] : undefined;
    case "zero_shot":
      return ["zero_shot_classification", text,
        { candidate_labels: body.labels, hypothesis_template: body.template, multi_label: body.multi_label }];
    case "entities":
      return ["token_classification", text, { aggregation_strategy: body.aggregation }];
    case "fill_mask":
      return ["fill_mask", text, { targets: body.targets, top_k: body.top_k }];
    default:
      return undefined;
  }
}

/** @param {HubCall} call */
function pythonHub([method, input, options]) {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const values = given.map(([name, value]) => `    ${name}=${python(value, 4)},\n`);
  const token = hasKey() ? `, token=os.environ["API_KEY"]` : "";
  const packages = method === "feature_extraction" ? "huggingface_hub numpy" : "huggingface_hub";
  return `# pip install ${packages}\n${hasKey() ? "import os\n\n" : ""}from huggingface_hub import InferenceClient

client = InferenceClient("${origin}"${token})
result = client.${method}(
    ${python(input, 4)},
${values.join("")})`;
}

/**
 * The gRPC service of each task, for requests of plain texts.
 *
 * @type {Record<string, string>}
 */
const grpcServices = {
  sentence_embedding: "sentence_embedding.SentenceEmbeddingInference",
  sequence_classification: "sequence_classification.SequenceClassificationInference",
  token_classification: "token_classification.TokenClassificationInference",
  embedding: "embedding.EmbeddingInference",
};

/** @param {FileInfo} info @param {PredictRequest} body */
const hasGrpc = ({ task }, { inputs, unpooled, vectors, query, labels }) =>
  task in grpcServices && !unpooled && !vectors && !query && !labels && inputs.every((input) => typeof input === "string");

/** @param {FileInfo} info @param {PredictRequest} body */
function grpcurl({ task }, { inputs }) {
  const authorization = hasKey() ? ` -H "authorization: Bearer $API_KEY"` : "";
  const plain = location.protocol === "https:" ? "" : " -plaintext";
  return `grpcurl${plain}${authorization} \\
  -d ${quoted(json({ inputs }))} \\
  ${location.hostname}:50051 encoderfile.${grpcServices[task]}/Predict`;
}

/** @param {PredictRequest} body */
function commandLine({ inputs, ...options }) {
  /** @param {unknown} it */
  const value = (it) => quoted(Array.isArray(it) ? it.join(",") : String(it));
  const flags = Object.entries(options).map(([name, it]) => `--${name.replaceAll("_", "-")}${it === true ? "" : ` ${value(it)}`}`);
  const texts = inputs.map((input) => quoted(typeof input === "string" ? input : input.text));
  const pairs = inputs.flatMap((input) => (typeof input === "string" ? [] : [`--pair ${quoted(input.text_pair)}`]));
  const end = texts.some((text) => text.startsWith("'-")) ? ["--"] : [];
  return ["./model.encoderfile infer", ...flags, ...pairs, ...end, ...texts].join(" \\\n  ");
}

/**
 * By their titles.
 *
 * @param {FileInfo} info
 * @param {string} capability
 * @param {PredictRequest} body
 * @returns {[title: string, code: string][]}
 */
function snippets(info, capability, body) {
  const hub = hubCall(capability, body);
  /** @type {[string, string][]} */
  const openai = capability === "embed"
    ? [["curl, OpenAI", promptRemark(body) + curl("v1/embeddings", openaiBody(info, body))], ["Python, openai", pythonOpenai(info, body)]]
    : [];
  return [
    ["curl", curl("predict", body)],
    ...openai,
    hub ? ["Python, huggingface_hub", pythonHub(hub)] : ["Python, requests", pythonRequests(body)],
    ["JavaScript", javascript(body)],
    .../** @type {[string, string][]} */ (hasGrpc(info, body) ? [["gRPC", grpcurl(info, body)]] : []),
    ["Command line", commandLine(body)],
  ];
}

let shown = "curl";

/**
 * Shows those of what the form says; one that lacks something keeps what it had.
 *
 * @param {FileInfo} info
 * @param {Panel} tool
 */
export function showSnippets(info, tool) {
  let body;
  try {
    body = tool.request(tool.form);
  } catch {
    return;
  }
  const written = snippets(info, tool.capability, body);
  const titles = written.map(([title]) => title);
  const panel = byId("snippet");
  const select = tabs(byId("snippet-tabs"), titles, titles.map(() => panel), (index, tab) => {
    shown = titles[index];
    panel.setAttribute("aria-labelledby", tab.id);
    byId("snippet-code").textContent = written[index][1];
  });
  select(Math.max(titles.indexOf(shown), 0));
}
