// Official clients as pages use them, each for one thing that it is for. What they
// give goes to ../../browser/other-clients.mjs, which knows what it should be.

import { InferenceClient } from "@huggingface/inference";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CohereClientV2 } from "cohere-ai";
import { Ollama } from "ollama/browser";
import OpenAI from "openai";

const bearer = (key) => ({ Authorization: `Bearer ${key}` });

const clients = {
  async openai({ http, key, texts }) {
    const client = new OpenAI({ baseURL: `${http}/v1`, apiKey: key, maxRetries: 0, dangerouslyAllowBrowser: true });
    const { data } = await client.embeddings.create({ model: "any", input: texts });
    return data.map((it) => it.embedding);
  },

  async ollama({ http, key, texts }) {
    const client = new Ollama({ host: http, headers: bearer(key) });
    return (await client.embed({ model: "any", input: texts })).embeddings;
  },

  async huggingFace({ http, key, texts }) {
    const client = new InferenceClient(key, { endpointUrl: http });
    return client.featureExtraction({ inputs: texts });
  },

  async cohere({ http, key, query, texts }) {
    const client = new CohereClientV2({ environment: http, token: key, maxRetries: 0 });
    const { results } = await client.rerank({ model: "any", query, documents: texts });
    return results.map((it) => [it.index, it.relevanceScore]);
  },

  /** From the first message to the end of the session, which its id belongs to. */
  async mcp({ http, key, tool, given }) {
    const client = new Client({ name: "encoderfile-clients", version: "1.0.0" });
    const options = { requestInit: { headers: bearer(key) } };
    const transport = new StreamableHTTPClientTransport(new URL(`${http}/mcp`), options);
    await client.connect(transport);
    const { tools } = await client.listTools();
    const { structuredContent } = await client.callTool({ name: tool, arguments: given });
    const { sessionId } = transport;
    await transport.terminateSession();
    await client.close();
    return { sessionId, tools: tools.map((it) => it.name), result: structuredContent };
  },

  /** No client: what a page can read of an answer. */
  async headers({ http, key, texts }) {
    const headers = { ...bearer(key), "content-type": "application/json" };
    const answer = await fetch(`${http}/embed`, { method: "POST", headers, body: JSON.stringify({ inputs: texts }) });
    return [...answer.headers.keys()];
  },
};

globalThis.ask = async (name, given) => {
  try {
    return { given: await clients[name](given) };
  } catch (error) {
    return { failed: `${error.name}: ${error.message} (${error.cause ?? "no cause"})` };
  }
};
