// Bundlers, with no more configuration than they need.

import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { build, createLogger, createServer } from "vite";
import webpack from "webpack";
import { passApp, passServed } from "./pages.mjs";
import { MODEL } from "./project.mjs";

/** What Vite builds, from its own origin and under a strict policy. */
export async function viteBuild(given, project) {
  await project.copy(MODEL, `public/${MODEL}`);
  const [customLogger, complaints] = attentive();
  await build({ root: project.folder, configFile: false, logLevel: "silent", customLogger });
  assert.deepEqual(complaints, []);
  const assets = await readdir(project.path("dist", "assets"));
  for (const name of [/^encoderfile-[\w-]{8}\.wasm$/, /^worker-[\w-]{8}\.js$/, /^index-[\w-]{8}\.js$/]) {
    assert.ok(assets.some((asset) => name.test(asset)), `no ${name} among ${assets}`);
  }
  await passServed(given, project, project.path("dist"), "/");
}

/**
 * Vite's own server, which bundles dependencies before they are asked for; and
 * with the configuration that versions before 8 need.
 */
export async function viteDev(given, project) {
  await project.copy(MODEL, `public/${MODEL}`);
  for (const exclude of [[], ["encoderfile"]]) {
    const [customLogger, complaints] = attentive();
    const server = await createServer({
      root: project.folder,
      configFile: false,
      customLogger,
      optimizeDeps: { exclude },
      server: { host: "127.0.0.1", port: 0 },
    });
    try {
      await server.listen();
      await passApp(given, project, server.resolvedUrls.local[0], /favicon\.ico/);
    } finally {
      await server.close();
    }
    assert.deepEqual(complaints, []);
  }
}

/** What webpack builds, in a folder that is not the server's root. */
export async function webpackBuild(given, project) {
  const folder = project.path("dist");
  const compiler = webpack({
    mode: "production",
    target: "web",
    context: project.folder,
    entry: "./main.js",
    output: { path: folder, filename: "main.js", chunkFilename: "[contenthash].js" },
    // It advises against files of more than 250 kB.
    performance: { hints: false },
  });
  const stats = await new Promise((resolve, reject) =>
    compiler.run((error, stats) => compiler.close(() => (error ? reject(error) : resolve(stats)))),
  );
  const { errors, warnings } = stats.toJson({ all: false, errors: true, warnings: true });
  assert.deepEqual([...errors, ...warnings].map(({ message }) => message), []);
  for (const name of ["index.html", MODEL]) await project.copy(name, `dist/${name}`);
  await passServed(given, project, folder, "/app/");
}

/** A logger for Vite, and what it was told that should not be. */
function attentive() {
  const complaints = [];
  const logger = createLogger("silent");
  const complain = (text) => complaints.push(text);
  return [{ ...logger, warn: complain, warnOnce: complain, error: complain }, complaints];
}
