/** What came back: the head as text, the number of body bytes, and the body itself where it was asked for. */
export type Answer = {
  readonly status: number;
  /** Status line and header lines, without the empty line at the end. */
  readonly head: string;
  readonly bodyBytes: number;
  readonly body: Buffer;
};

type Head = { readonly status: number; readonly text: string };
type Framing = { readonly kind: 'length' } | { readonly kind: 'chunked' };

const headEnd = '\r\n\r\n';
const none = Buffer.alloc(0);

/** The value of a header, or undefined; `name` in lower case. */
export function headerOf(answer: Answer, name: string): string | undefined {
  for (const line of answer.head.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0 && line.slice(0, colon).toLowerCase() === name) return line.slice(colon + 1).trim();
  }
  return undefined;
}

/**
 * Reads one HTTP/1.1 answer at a time from the bytes of a connection: counts body bytes without looking at them, and keeps
 * them only when told to. Just what a load generator needs: no pipelining, no trailers, no interim answers but 100.
 */
export class AnswerReader {
  #expectsBody = true;
  #keepsBody = false;
  #head: Head | undefined;
  #framing: Framing = { kind: 'length' };
  /** Bytes missing of the body, or of the current chunk. */
  #missing = 0;
  #lastChunk = false;
  /** Bytes of an unfinished head or chunk line. */
  #carried: Buffer = none;
  #bodyBytes = 0;
  #kept: Buffer[] = [];

  /** Prepares for the next answer. `expectsBody` is false for HEAD. */
  start(expectsBody: boolean, keepsBody: boolean): void {
    this.#expectsBody = expectsBody;
    this.#keepsBody = keepsBody;
    this.#head = undefined;
    this.#carried = none;
    this.#bodyBytes = 0;
    this.#kept = [];
  }

  /** Takes the next bytes, valid only during the call; returns the answer when it is complete. */
  push(bytes: Buffer): Answer | undefined {
    let rest = bytes;
    if (this.#head === undefined) {
      const after = this.#readHead(rest);
      if (after === undefined) return undefined;
      rest = after;
    }
    const done = this.#framing.kind === 'length' ? this.#readLength(rest) : this.#readChunks(rest);
    return done ? this.#answer() : undefined;
  }

  #answer(): Answer {
    return {
      status: this.#head?.status ?? 0,
      head: this.#head?.text ?? '',
      bodyBytes: this.#bodyBytes,
      body: this.#kept.length === 0 ? none : Buffer.concat(this.#kept),
    };
  }

  /** Returns the bytes after the head, or undefined while it is not complete. */
  #readHead(bytes: Buffer): Buffer | undefined {
    const all = this.#carried.length === 0 ? bytes : Buffer.concat([this.#carried, bytes]);
    const end = all.indexOf(headEnd);
    if (end < 0) {
      this.#carried = Buffer.from(all);
      return undefined;
    }
    this.#carried = none;
    const text = all.toString('latin1', 0, end);
    const status = Number(text.slice(9, 12));
    const rest = all.subarray(end + headEnd.length);
    if (status === 100) return this.#readHead(rest);
    this.#head = { status, text };
    this.#frame(text, status);
    return rest;
  }

  #frame(head: string, status: number): void {
    const isEmpty = !this.#expectsBody || status === 204 || status === 304;
    const isChunked = !isEmpty && /\r\ntransfer-encoding: *chunked/i.test(head);
    this.#framing = { kind: isChunked ? 'chunked' : 'length' };
    this.#lastChunk = false;
    this.#missing = isEmpty || isChunked ? 0 : Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1] ?? 0);
  }

  #take(bytes: Buffer): void {
    this.#bodyBytes += bytes.length;
    this.#missing -= bytes.length;
    if (this.#keepsBody) this.#kept.push(Buffer.from(bytes));
  }

  #readLength(bytes: Buffer): boolean {
    if (bytes.length > this.#missing) throw new Error('the server sent more than it announced');
    this.#take(bytes);
    return this.#missing === 0;
  }

  #readChunks(bytes: Buffer): boolean {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#missing > 0) {
        const part = rest.subarray(0, this.#missing);
        this.#take(part);
        rest = rest.subarray(part.length);
        continue;
      }
      const newline = rest.indexOf(10);
      if (newline < 0) {
        this.#carried = Buffer.concat([this.#carried, rest]);
        return false;
      }
      const line = Buffer.concat([this.#carried, rest.subarray(0, newline)])
        .toString('latin1')
        .trim();
      this.#carried = none;
      rest = rest.subarray(newline + 1);
      if (this.#lastChunk && line === '') return true;
      if (line === '') continue;
      this.#missing = Number.parseInt(line, 16);
      this.#lastChunk = this.#missing === 0;
    }
    return false;
  }
}
