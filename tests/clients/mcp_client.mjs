// The official MCP client of npm, over stdio and streamable HTTP: the `embed` tool
// of a sentence embedding model. mcp_client.py has the other tasks.

import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { check, demand, equal, modelAndServer, sameEmbeddings, transports } from "./cases.mjs";

const { server, model } = modelAndServer();
const texts = model.cases.map((it) => it.text);
const expected = model.cases.map((it) => it.embedding);

for (const [name, transport] of transports(server)) {
  const client = new Client({ name: "encoderfile-clients", version: "1.0.0" });

  await check(`${name}: connect`, () => client.connect(transport));

  await check(`${name}: listTools`, async () => {
    const { tools } = await client.listTools();
    const embed = tools.find((it) => it.name === "embed");
    demand(embed, `embed is not in ${tools.map((it) => it.name)}`);
    demand(embed.inputSchema.properties.texts.description, "texts has no description");
  });

  await check(`${name}: embed`, async () => {
    const result = await client.callTool({ name: "embed", arguments: { texts } });
    demand(!result.isError, `an error: ${result.content[0]?.text}`);
    sameEmbeddings(model, result.structuredContent.embeddings, expected);
  });

  await check(`${name}: a wrong argument is an error that says so`, async () => {
    const result = await client.callTool({ name: "embed", arguments: { texts: 7 } });
    equal(result.isError, true);
    demand(result.content[0].text.includes("texts"), result.content[0].text);
  });

  await client.close();
}
