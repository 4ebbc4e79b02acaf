// What reads files in JavaScript, over whatever fast-check makes: footers, places in
// files, chunks, and whole files that are damaged.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import fc from "fast-check";
import { MODEL } from "./project.mjs";

/** Of small cases. */
const RUNS = 5_000;

/** Of whole files, which a load takes some milliseconds to refuse. */
const FILES = 40;

const MAGIC = new TextEncoder().encode("ENCFILE\0");

/** Eight bytes, as somebody may write a length: small, large, and beyond what numbers hold. */
const lengths = fc.oneof(fc.bigInt({ min: 0n, max: 200n }), fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }));

/** Footers of any version and lengths, some with another magic. */
const footers = fc
  .tuple(fc.boolean(), fc.constantFrom(1, 2, 3), lengths, lengths, fc.nat(3))
  .map(([isMarked, version, payload, metadata, flags]) => {
    const bytes = new Uint8Array(32);
    if (isMarked) bytes.set(MAGIC);
    const view = new DataView(bytes.buffer);
    view.setUint32(8, version, true);
    view.setBigUint64(12, payload, true);
    view.setBigUint64(20, metadata, true);
    view.setUint32(28, flags, true);
    return bytes;
  });

/** The modules of the installed package. */
export async function reader(given, project) {
  const load = (name) => import(pathToFileURL(join(project.package, "dist", name)));
  const { parseFooter } = await load("footer.js");
  const { open, chunks } = await load("incoming.js");
  const { Bytes } = await load("bytes.js");
  checkFooters(parseFooter);
  await checkPlaces(parseFooter, open, chunks);
  checkChunks(Bytes);
  await checkFiles(await load("node.js"), new Uint8Array(await readFile(join(project.folder, MODEL))));
}

/** A footer that is taken has lengths that fit in each other, and in memory. */
function checkFooters(parseFooter) {
  fc.assert(
    fc.property(fc.oneof(footers, fc.uint8Array({ maxLength: 64 })), (bytes) => {
      const footer = parseFooter(bytes);
      if (footer === undefined) return;
      assert.equal(bytes.length, 32);
      assert.ok(footer.metadataLength >= 32 && footer.metadataLength <= 16 << 20);
      assert.ok(footer.metadataLength + 32 <= footer.payloadLength);
    }),
    { numRuns: RUNS },
  );
}

/** What is read of a file is its payload to the end, or all of it where that is not in it. */
async function checkPlaces(parseFooter, open, chunks) {
  const files = fc.tuple(fc.uint8Array({ maxLength: 300 }), footers);
  await fc.assert(
    fc.asyncProperty(files, fc.boolean(), async ([rest, footer], asBlob) => {
      const file = new Uint8Array([...rest, ...footer]);
      const source = asBlob ? new Blob([file]) : file;
      const incoming = await open(source, { cache: false, headers: undefined, signal: undefined });
      const read = [];
      for await (const chunk of chunks(incoming, undefined)) read.push(...chunk);
      const payload = parseFooter(footer)?.payloadLength ?? file.length;
      const start = Math.max(file.length - payload, 0);
      assert.equal(incoming.total, file.length - start);
      assert.deepEqual(read, [...file.subarray(start)]);
    }),
    { numRuns: RUNS / 10 },
  );
}

/** Chunks are read as the bytes that they are of, and let go when all of one is released. */
function checkChunks(Bytes) {
  const pieces = fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 12 });
  const places = fc.array(fc.tuple(fc.nat(60), fc.nat(60)), { maxLength: 8 });
  fc.assert(
    fc.property(pieces, places, (pieces, places) => {
      const bytes = new Bytes();
      for (const piece of pieces) bytes.push(piece);
      const whole = pieces.flatMap((piece) => [...piece]);
      assert.equal(bytes.length, whole.length);
      for (const [offset, length] of places) {
        if (offset + length > whole.length) continue;
        const into = new Uint8Array(length);
        bytes.read(offset, into);
        assert.deepEqual([...into], whole.slice(offset, offset + length));
      }
      bytes.release(0, whole.length);
      assert.equal(bytes.held, 0);
    }),
    { numRuns: RUNS },
  );
}

/** A damaged file is refused as one: never loaded, never a bug, never a hang. */
async function checkFiles({ Encoderfile, EncoderfileError }, whole) {
  const CODES = ["corrupt", "not_encoderfile", "unsupported_format"];
  // Most of a file is weights, and its footer and manifest are where readers go wrong.
  const end = (length) => fc.nat(length - 1).map((back) => whole.length - 1 - back);
  const begin = fc.nat(4096);
  const place = fc.oneof(end(32), end(whole.length), begin);
  const damage = fc.oneof(
    fc.record({ kind: fc.constant("flip"), place, bit: fc.nat(7) }),
    fc.record({ kind: fc.constant("cut"), place }),
  );
  await fc.assert(
    fc.asyncProperty(damage, async ({ kind, place, bit }) => {
      const file = kind === "cut" ? whole.subarray(0, place) : whole.slice();
      if (kind === "flip") file[place] ^= 1 << bit;
      const refused = Encoderfile.load(file, { worker: false });
      await assert.rejects(refused, (error) => {
        assert.ok(error instanceof EncoderfileError, String(error));
        assert.ok(CODES.includes(error.code), `${error.code}: ${error.message}`);
        return true;
      });
    }),
    { numRuns: FILES },
  );
}
