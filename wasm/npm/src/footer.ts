/**
 * The last 32 bytes of an encoderfile that ends with its payload: what has to be known to fetch no
 * more of it than that. Signed executables end otherwise, and are fetched whole. The runtime reads them again, and checks everything.
 *
 * @module
 */

export const FOOTER_LEN = 32;

/** `ENCFILE\0` */
const MAGIC = [69, 78, 67, 70, 73, 76, 69, 0];

/** Bytes of the digest behind the manifest. */
const DIGEST_LEN = 32;

/** As in the runtime's table of limits. */
const METADATA_LEN_MAX = 16 << 20;

/** Where the payload is in a file. */
export interface Footer {
  /** Bytes from the beginning of the manifest to the end of the file. */
  payloadLength: number;
  /** Bytes of the manifest and its digest. */
  metadataLength: number;
}

/** Reads a footer; `undefined` where it is none, or of another format. */
export function parseFooter(bytes: Uint8Array): Footer | undefined {
  if (bytes.length !== FOOTER_LEN || MAGIC.some((byte, index) => bytes[index] !== byte)) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, FOOTER_LEN);
  const [version, payloadLength, metadataLength] = [
    view.getUint32(8, true),
    Number(view.getBigUint64(12, true)),
    Number(view.getBigUint64(20, true)),
  ];
  const fits = metadataLength >= DIGEST_LEN && metadataLength + FOOTER_LEN <= payloadLength;
  if (version !== 2 || !fits || metadataLength > METADATA_LEN_MAX) return undefined;
  return { payloadLength, metadataLength };
}

/** The digest of a payload, in hexadecimal, of its manifest with digest. */
export function digestOf(metadata: Uint8Array): string {
  const digest = metadata.subarray(metadata.length - DIGEST_LEN);
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
