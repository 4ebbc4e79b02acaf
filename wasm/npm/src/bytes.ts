/**
 * A payload in memory, in the chunks in which it arrived. The model reads its
 * tensors out of it; chunks that are used up are let go, so that most of a
 * payload is never held twice.
 *
 * @module
 */

interface Chunk {
  offset: number;
  length: number;
  /** Absent when all of it was released. */
  bytes: Uint8Array | undefined;
  released: number;
}

export class Bytes {
  #chunks: Chunk[] = [];
  #length = 0;

  /** The number of bytes, those let go included. */
  get length(): number {
    return this.#length;
  }

  /** The number of bytes that are held. */
  get held(): number {
    return this.#chunks.reduce((sum, chunk) => sum + (chunk.bytes?.length ?? 0), 0);
  }

  /** Takes the next bytes, without copying them. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push({ offset: this.#length, length: bytes.length, bytes, released: 0 });
    this.#length += bytes.length;
  }

  /** Fills `into` with the bytes from `offset`. */
  read(offset: number, into: Uint8Array): void {
    this.#visit(offset, into.length, (chunk, start, end) => {
      if (chunk.bytes === undefined) throw new Error(`${into.length} bytes at ${offset} were let go`);
      const part = chunk.bytes.subarray(start - chunk.offset, end - chunk.offset);
      into.set(part, start - offset);
    });
  }

  /** Says that these bytes will not be read again. */
  release(offset: number, length: number): void {
    this.#visit(offset, length, (chunk, start, end) => {
      chunk.released += end - start;
      if (chunk.released >= chunk.length) chunk.bytes = undefined;
    });
  }

  #visit(offset: number, length: number, visit: (chunk: Chunk, start: number, end: number) => void): void {
    const end = offset + length;
    for (let index = this.#find(offset); length > 0 && index < this.#chunks.length; index++) {
      const chunk = this.#chunks[index]!;
      if (chunk.offset >= end) break;
      visit(chunk, Math.max(offset, chunk.offset), Math.min(end, chunk.offset + chunk.length));
    }
  }

  /** The index of the chunk that `offset` is in. */
  #find(offset: number): number {
    let [low, high] = [0, this.#chunks.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const chunk = this.#chunks[middle]!;
      if (chunk.offset + chunk.length <= offset) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
