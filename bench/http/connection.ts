import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { type Answer, AnswerReader } from './answer-reader.ts';

/** One request: the head is written as it is, so that hot loops can build it once. */
export type WireRequest = {
  /** Request line and headers without Host, each line ended by CR LF, without the empty line at the end. */
  readonly head: string;
  /** The body in pieces that are written one after the other without copying; their length is in the head. */
  readonly body?: Iterable<Uint8Array>;
  readonly keepsBody?: boolean;
};

type Waiting = { readonly resolve: (answer: Answer) => void; readonly reject: (cause: Error) => void };

const readBufferBytes = 256 * 1024;
const idleLimitMs = 120_000;

/**
 * A keep-alive connection of one simulated client; one request at a time; opens itself again when the server closed it.
 * Received bytes land in one buffer that is used again and again: counting a body costs no memory and no work per byte.
 * Certificates are not checked, as `zb` does not.
 */
export class Connection {
  readonly #origin: URL;
  readonly #hostLine: string;
  readonly #reader = new AnswerReader();
  #socket: Socket | undefined;
  #waiting: Waiting | undefined;

  constructor(origin: URL) {
    this.#origin = origin;
    this.#hostLine = `Host: ${origin.host}\r\n\r\n`;
  }

  /** Sends a request and resolves with its complete answer. Rejects when the connection fails or is silent for two minutes. */
  async send(request: WireRequest): Promise<Answer> {
    const socket = this.#socket ?? (await this.#open());
    this.#reader.start(!request.head.startsWith('HEAD '), request.keepsBody ?? false);
    const answered = new Promise<Answer>((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
    const written = this.#write(socket, request);
    // A refused body ends in an answer and a write error; the answer is what counts.
    written.catch(() => {});
    return await answered;
  }

  close(): void {
    this.#socket?.destroy();
    this.#socket = undefined;
  }

  async #write(socket: Socket, request: WireRequest): Promise<void> {
    socket.cork();
    socket.write(request.head + this.#hostLine, 'latin1');
    let corked = true;
    for (const piece of request.body ?? []) {
      const hasRoom = socket.write(piece);
      if (corked) process.nextTick(() => socket.uncork());
      corked = false;
      if (!hasRoom && !socket.destroyed) await once(socket, 'drain');
    }
    if (corked) socket.uncork();
  }

  async #open(): Promise<Socket> {
    const socket = this.#connect();
    socket.setNoDelay(true);
    socket.setTimeout(idleLimitMs, () => socket.destroy(new Error('no bytes for two minutes')));
    socket.on('error', (cause) => this.#fail(socket, cause));
    socket.on('close', () => this.#fail(socket, new Error('the server closed the connection')));
    await once(socket, this.#origin.protocol === 'https:' ? 'secureConnect' : 'connect');
    this.#socket = socket;
    return socket;
  }

  #connect(): Socket {
    const host = this.#origin.hostname.replace(/^\[|\]$/g, '');
    const isTls = this.#origin.protocol === 'https:';
    const port = Number(this.#origin.port === '' ? (isTls ? 443 : 80) : this.#origin.port);
    if (isTls) {
      const socket = connectTls({ host, port, servername: host, rejectUnauthorized: false });
      return socket.on('data', (bytes: Buffer) => this.#received(bytes));
    }
    const buffer = Buffer.allocUnsafeSlow(readBufferBytes);
    const callback = (count: number) => this.#received(buffer.subarray(0, count));
    return connect({ host, port, onread: { buffer, callback } });
  }

  #received(bytes: Buffer): boolean {
    try {
      const answer = this.#reader.push(bytes);
      if (answer !== undefined) this.#resolve(answer);
    } catch (cause) {
      this.#socket?.destroy(cause instanceof Error ? cause : new Error(String(cause)));
    }
    return true;
  }

  #resolve(answer: Answer): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(answer);
  }

  #fail(socket: Socket, cause: Error): void {
    if (this.#socket === socket) this.#socket = undefined;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(cause);
  }
}
