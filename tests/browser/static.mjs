// A server of files on loopback, as good or as bad as a test wants it.

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".mjs": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".webmanifest": "application/manifest+json",
};

/**
 * Serves folders by the prefix of the path, longest first: `{ "/": folder }`.
 *
 * `ranges: false` answers every request with the whole file; `headers` are sent
 * with everything; `answer(request, response)` may answer itself and return true.
 * Gives `{ url, requests, close() }`; `requests` has `{ method, path, range, status, bytes }`
 * of each, `bytes` as far as it was sent.
 */
export async function serve(roots, { ranges = true, headers = {}, answer } = {}) {
  const prefixes = Object.keys(roots).sort((a, b) => b.length - a.length);
  const requests = [];
  const server = createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    const seen = { method: request.method, path, range: request.headers.range, status: 0, bytes: 0 };
    requests.push(seen);
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.on("close", () => (seen.status = response.statusCode));
    if (answer?.(request, response)) return;
    const prefix = prefixes.find((prefix) => path.startsWith(prefix));
    const inside = normalize(path.slice(prefix?.length ?? 0) || "index.html");
    const file = prefix === undefined || inside.startsWith("..") ? undefined : join(roots[prefix], inside);
    const found = file && (await stat(file).catch(() => undefined));
    if (!found?.isFile()) return response.writeHead(404).end();
    response.setHeader("content-type", TYPES[extname(file)] ?? "application/octet-stream");
    response.setHeader("last-modified", found.mtime.toUTCString());
    let [start, end] = [0, found.size];
    const range = ranges && /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    if (ranges) response.setHeader("accept-ranges", "bytes");
    if (range) {
      [start, end] = [Number(range[1]), range[2] ? Number(range[2]) + 1 : found.size];
      if (start >= end || end > found.size) return response.writeHead(416).end();
      response.statusCode = 206;
      response.setHeader("content-range", `bytes ${start}-${end - 1}/${found.size}`);
    }
    response.setHeader("content-length", end - start);
    if (request.method === "HEAD") return response.end();
    const stream = createReadStream(file, { start, end: Math.max(end - 1, 0) });
    stream.on("data", (chunk) => (seen.bytes += chunk.length));
    stream.on("error", () => response.destroy()).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return { url: `http://127.0.0.1:${server.address().port}`, requests, close };
}
