// A component as a library of JavaScript, in a page in Chromium.
// Usage: node component.mjs --folder DIR [--chromium PATH]
//
// DIR is what ../clients/component_library.mjs leaves: transpiled modules, and what the command line
// prints. The page is built as its authors would build it. `ok NAME` for each check; the first that
// fails ends the script with status 1.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "vite";
import { MODELS } from "../clients/component/checks.js";
import { launch } from "./chromium.mjs";
import { serve } from "./static.mjs";

const { values: given } = parseArgs({
  options: { folder: { type: "string" }, chromium: { type: "string", default: "/usr/bin/chromium" } },
});
cpSync(fileURLToPath(new URL("../clients/component", import.meta.url)), given.folder, { recursive: true });
const main = [
  'import { run } from "./checks.js";',
  ...MODELS.map((name, index) => `import * as library${index} from "./${name}/${name}.js";`),
  `const libraries = { ${MODELS.map((name, index) => `"${name}": library${index}`).join(", ")} };`,
  "globalThis.run = (printed) => run(libraries, printed);",
];
writeFileSync(join(given.folder, "main.js"), main.join("\n"));

const site = mkdtempSync(join(tmpdir(), "encoderfile-component-"));
await build({
  root: given.folder,
  configFile: false,
  logLevel: "error",
  build: { outDir: site, emptyOutDir: true },
});
const served = await serve({ "/": site });
const browser = await launch(given.chromium);
let status = 0;
try {
  const page = await browser.newPage();
  page.on("pageerror", (error) => console.error(`in the page: ${error.stack}`));
  await page.goto(`${served.url}/`);
  await page.waitForFunction(() => globalThis.run !== undefined);
  const printed = JSON.parse(readFileSync(join(given.folder, "printed.json"), "utf8"));
  for (const line of await page.evaluate((printed) => globalThis.run(printed), printed)) console.log(line);
} catch (error) {
  console.error(error.message);
  status = 1;
} finally {
  await Promise.all([browser.close(), served.close()]);
  rmSync(site, { recursive: true });
}
process.exit(status);
