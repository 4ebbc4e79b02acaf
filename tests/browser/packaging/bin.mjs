// The `encoderfile` command of the package, which fetches the tool from a release.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { has, listen, proxyOf } from "./servers.mjs";

const VERSION = "9.8.7";

const NAME = "encoderfile-for-this-machine";

/** A tool that ends with status 7, by a signal, or with status 5 at SIGTERM. */
const SCRIPT = `#!/bin/sh
case $1 in
  die) kill -TERM $$ ;;
  wait) trap 'exit 5' TERM; echo waits; for _ in $(seq 300); do sleep 0.1; done ;;
esac
exit 7
`;

const SMALL = new TextEncoder().encode(SCRIPT + "# and more\n".repeat(10_000));

/** The command in a project, with a cache of its own and nothing of this environment. */
class Command {
  constructor(project) {
    this.project = project;
    this.cache = project.path("a cache");
  }

  start(args, env = {}) {
    const { PATH, HOME } = process.env;
    const program = this.project.path("node_modules", ".bin", "encoderfile");
    return spawn(program, args, {
      cwd: this.project.folder,
      env: { PATH, HOME, XDG_CACHE_HOME: this.cache, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
  }

  async run(args, env) {
    return ended(this.start(args, env));
  }

  /** What a release would have put into the package. */
  async release(bytes, { address = "", target } = {}) {
    const { target: own } = await import(pathToFileURL(join(this.project.package, "dist/tool/machine.js")));
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const tools = { [target ?? own()]: { name: NAME, length: bytes.length, sha256 } };
    const path = join(this.project.package, "dist/release.json");
    await writeFile(path, JSON.stringify({ version: VERSION, address, tools }));
  }

  /** Ends with that line and status 1, and leaves nothing in the cache. */
  async refuses(env, ...words) {
    const { code, out, said } = await this.run(["version"], env);
    const lines = said.trimEnd().split("\n");
    assert.equal(lines.length, 1, said);
    for (const word of ["error: ", ...words]) assert.ok(said.includes(word), `${word} is not in: ${said}`);
    assert.deepEqual([code, out], [1, ""]);
    assert.deepEqual(await this.kept(), []);
  }

  /** The same where no file may have more than 4 KiB, as on a full disk. */
  async runLimited(args, env) {
    const { PATH, HOME } = process.env;
    const program = this.project.path("node_modules", ".bin", "encoderfile");
    const limited = spawn("sh", ["-c", 'ulimit -f 8; exec "$0" "$@"', program, ...args], {
      env: { PATH, HOME, XDG_CACHE_HOME: this.cache, ...env },
    });
    return ended(limited);
  }

  /** The files in the cache. */
  async kept() {
    const entries = await readdir(this.cache, { recursive: true, withFileTypes: true }).catch(() => []);
    return entries.filter((it) => it.isFile()).map((it) => join(it.parentPath ?? it.path, it.name));
  }

  empty() {
    return rm(this.cache, { recursive: true, force: true });
  }
}

async function ended(child) {
  const text = { out: "", said: "" };
  child.stdout.on("data", (chunk) => (text.out += chunk));
  child.stderr.on("data", (chunk) => (text.said += chunk));
  const [code, signal] = await once(child, "close");
  return { code, signal, ...text };
}

/** Of a release, and of the faults that one can have. */
export async function bin(given, project) {
  const tool = await readFile(given.tool);
  const command = new Command(project);
  const expected = await ended(spawn(given.tool, ["version"]));
  await withoutRelease(command, given.tool, expected);
  await fetched(command, tool, expected);
  await passedOn(command, given.tool, project);
  await ofFolders(command, tool, expected);
  await faults(command);
  await ends(command);
  await interrupted(command);
  await proxied(command);
}

async function withoutRelease(command, tool, expected) {
  await command.refuses({}, "not made by a release", "ENCODERFILE_TOOL");
  assert.deepEqual(await command.run(["version"], { ENCODERFILE_TOOL: tool }), expected);
  await command.refuses({ ENCODERFILE_TOOL: join(command.cache, "none") }, "none", "ENOENT");
  // A name is a path, never a program of PATH; and this command is no tool.
  const folder = command.project.path("node_modules", ".bin");
  const PATH = `${folder}:${process.env.PATH}`;
  await command.refuses({ PATH, ENCODERFILE_TOOL: "encoderfile" }, command.project.path("encoderfile"), "ENOENT");
  await command.refuses({ ENCODERFILE_TOOL: join(folder, "encoderfile") }, "not a tool");
}

/** Once, by two at once, and again when what is kept was damaged. */
async function fetched(command, tool, expected) {
  const server = await listen(has(tool));
  await command.release(tool, { address: server.address });
  for (const { code, out, said } of await Promise.all([command.run(["version"]), command.run(["version"])])) {
    assert.deepEqual([code, out], [expected.code, expected.out], said);
    const place = `${server.address}/v${VERSION}/${NAME}`;
    assert.ok(said.startsWith(`encoderfile ${VERSION}: `) && said.includes(place), said);
  }
  assert.deepEqual(new Set(server.asked), new Set([`/v${VERSION}/${NAME}`]));
  const kept = await command.kept();
  assert.equal(kept.length, 1, kept.join());
  assert.equal((await stat(kept[0])).mode & 0o111, 0o111);
  const before = server.asked.length;
  assert.deepEqual(await command.run(["version"]), expected);
  assert.equal(server.asked.length, before);

  const damaged = Buffer.from(tool);
  damaged[damaged.length >> 1] ^= 1;
  await writeFile(kept[0], damaged);
  const again = await command.run(["version"]);
  assert.deepEqual([again.out, server.asked.length], [expected.out, before + 1]);
  await server.close();
  assert.deepEqual(await command.run(["version"]), expected);
}

/** Arguments, exit codes and signals. */
async function passedOn(command, tool, project) {
  const own = { ENCODERFILE_TOOL: tool };
  const missing = ["inspect", "not there – 東京 \"quoted\".ef"];
  const failed = await ended(spawn(tool, missing, { cwd: project.folder }));
  assert.ok(failed.code === 1 && failed.said.includes("東京"), failed.said);
  assert.deepEqual(await command.run(missing, own), failed);

  const built = await command.run(["build", "-o", "program"], own);
  assert.equal(built.code, 0, built.said);
  const server = command.start(["serve", "--http-port", "0", "--disable-grpc"], {
    ENCODERFILE_TOOL: project.path("program"),
  });
  const end = ended(server);
  await Promise.race([once(server.stderr, "data"), once(server.stdout, "data")]);
  server.kill("SIGTERM");
  const { code, signal, said } = await end;
  assert.deepEqual([code, signal], [0, null], said);
}

async function ofFolders(command, tool, expected) {
  const folder = command.project.path("some releases");
  await mkdir(join(folder, `v${VERSION}`), { recursive: true });
  await writeFile(join(folder, `v${VERSION}`, NAME), tool);
  await command.release(tool, { address: "http://127.0.0.1:1" });
  for (const address of [folder, pathToFileURL(folder).href]) {
    await command.empty();
    const { code, out, said } = await command.run(["version"], { ENCODERFILE_BASE_BINARY_BASE_URL: address });
    assert.deepEqual([code, out], [expected.code, expected.out], said);
    assert.ok(said.includes(join(folder, `v${VERSION}`, NAME)), said);
  }
}

async function faults(command) {
  await command.empty();
  await command.release(SMALL);
  await command.refuses({}, "no address of releases", "ENCODERFILE_BASE_BINARY_BASE_URL");
  const at = (address) => ({ ENCODERFILE_BASE_BINARY_BASE_URL: address });
  for (const address of ["ftp://127.0.0.1", "http://a b/", "https://", "file://%ff"]) {
    await command.refuses(at(address), address, "nor a folder");
  }
  const { said } = await command.run([], at("https://somebody:secret@127.0.0.1:1"));
  assert.ok(said.includes("nor a folder") && !said.includes("secret"), said);
  const gone = await listen(has(SMALL));
  await gone.close();
  await command.refuses(at(gone.address), gone.address, "ECONNREFUSED");
  await command.refuses(at(command.project.path("nowhere")), "nowhere", "ENOENT");
  const half = SMALL.subarray(0, SMALL.length / 2);
  const other = SMALL.slice();
  other[7] ^= 1;
  const answers = [
    [(_, response) => response.writeHead(404).end("none"), ["answers 404"]],
    [(_, response) => response.writeHead(503).end(SMALL), ["answers 503"]],
    [has(other), ["not the SHA-256", "nothing was kept"]],
    [has(half), [`cut after ${half.length} of ${SMALL.length} bytes`]],
    [has(Buffer.concat([SMALL, SMALL])), [`longer than the ${SMALL.length} bytes`]],
    [(_, response) => response.writeHead(200, { "content-length": SMALL.length }).end(half, () => response.destroy()), [NAME]],
  ];
  for (const [answer, words] of answers) {
    const server = await listen(answer);
    await command.refuses(at(server.address), `v${VERSION}/${NAME}`, ...words);
    await server.close();
  }
  const server = await listen(has(SMALL));
  await command.refuses({ ...at(server.address), XDG_CACHE_HOME: command.project.path("package.json") }, "package.json", "XDG_CACHE_HOME");
  await command.release(SMALL, { target: "riscv64-unknown-linux-gnu" });
  await command.refuses(at(server.address), "no encoderfile tool for", "riscv64-unknown-linux-gnu", "ENCODERFILE_TOOL");
  assert.deepEqual(server.asked, []);
  await command.release(SMALL);
  const full = await command.runLimited([], at(server.address));
  assert.deepEqual([full.code, await command.kept()], [1, []], full.said);
  assert.ok(full.said.startsWith(`error: ${command.cache}`) && full.said.includes("EFBIG"), full.said);
  await server.close();
  await command.project.write("node_modules/encoderfile/dist/release.json", "{");
  await command.refuses({}, "release.json", "install the package again");
}

/** As the tool ends: by a signal, or with a status of its own after one; and where the server sends elsewhere. */
async function ends(command) {
  await command.release(SMALL);
  const server = await listen((request, response) => {
    if (request.url.startsWith("/moved/")) response.writeHead(302, { location: request.url.slice(6) });
    response.end(SMALL);
  });
  const env = { ENCODERFILE_BASE_BINARY_BASE_URL: `${server.address}/moved/` };
  const killed = await command.run(["die"], env);
  assert.deepEqual([killed.code, killed.signal], [null, "SIGTERM"], killed.said);
  assert.deepEqual(server.asked, [`/moved/v${VERSION}/${NAME}`, `/v${VERSION}/${NAME}`]);
  // Behind a proxy Node is started twice.
  const proxy = await proxyOf(server);
  for (const more of [{}, { http_proxy: proxy.address }]) {
    await command.empty();
    const child = command.start(["wait"], { ...env, ...more });
    const end = ended(child);
    await Promise.race([once(child.stdout, "data"), end]);
    child.kill("SIGTERM");
    const { code, out, said } = await end;
    assert.deepEqual([code, out], [5, "waits\n"], said);
    assert.equal(said.split("\n").length, 2, said);
  }
  await command.empty();
  await proxy.close();
  await server.close();
}

/** Ctrl-C of a download leaves nothing. */
async function interrupted(command) {
  await command.release(SMALL);
  const server = await listen((_, response) => response.write(SMALL.subarray(0, 1000)));
  const child = command.start(["version"], { ENCODERFILE_BASE_BINARY_BASE_URL: server.address });
  const end = ended(child);
  while ((await command.kept()).length === 0) await new Promise((resolve) => setTimeout(resolve, 10));
  child.kill("SIGINT");
  const { code, signal, out, said } = await end;
  assert.deepEqual({ code, signal, out, said }, { code: null, signal: "SIGINT", out: "", said: "" });
  assert.deepEqual(await command.kept(), []);
  await server.close();
}

/** By a proxy where Node knows how to ask one. */
async function proxied(command) {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const knows = major >= 24 || (major === 22 && minor >= 21);
  await command.release(SMALL);
  const [server, short] = [await listen(has(SMALL)), await listen(has(SMALL.slice(1)))];
  const proxy = await proxyOf(short);
  const env = { ENCODERFILE_BASE_BINARY_BASE_URL: server.address, http_proxy: proxy.address };
  // What comes of the proxy is too short.
  const { code, said } = await command.run(["version"], env);
  assert.deepEqual([code, said.includes("cut after")], knows ? [1, true] : [7, false], said);
  assert.deepEqual([server.asked.length, proxy.asked.length], knows ? [0, 1] : [1, 0]);
  assert.equal((await command.kept()).length, knows ? 0 : 1);
  await proxy.close();
  await short.close();
  await server.close();
}
