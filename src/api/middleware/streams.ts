import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import type { Context } from 'hono';
import { BerthError } from '../../core/errors.ts';
import type { Env } from './env.ts';

/** How slow a body may be: fewer bytes than the rate times the window within one window, and it is cut. */
export type TransferLimits = {
  readonly minBytesPerSecond: number;
  readonly windowMs: number;
};

/** `bytes` throws `tooSlow`, or ClientGone when the connection broke before the end. */
export type Body = {
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Content-Length; undefined when the body is chunked. */
  readonly lengthBytes: number | undefined;
};

/** The client closed the connection before its body was whole; nobody is left to read an answer. */
export class ClientGone extends Error {}

/** Bytes received and not yet taken at which the socket is told to wait. */
const maxQueuedBytes = 1024 * 1024;

/**
 * The request's body, with back-pressure, without a limit on its total time. Bytes flow from Node's socket where there is
 * one. A client that waits for `100 Continue` gets it when the first byte is asked for: after authentication and limits.
 */
export function bodyIn(c: Context<Env>, limits: TransferLimits): Body {
  const length = c.req.header('content-length');
  const hasBody = length !== undefined || c.req.header('transfer-encoding') !== undefined;
  const lengthBytes = hasBody ? (length === undefined ? undefined : Number(length)) : 0;
  const { incoming, outgoing } = c.env ?? {};
  if (incoming === undefined || outgoing === undefined) {
    return { bytes: c.req.raw.body ?? noBytes(), lengthBytes: length === undefined ? undefined : lengthBytes };
  }
  return { bytes: lengthBytes === 0 ? noBytes() : fromSocket(incoming, outgoing, limits), lengthBytes };
}

/** The whole body in memory. Throws `tooLarge`'s error past `maxBytes`; reads no further then. */
export async function bytesIn(body: Body, maxBytes: number, tooLarge: () => BerthError): Promise<Uint8Array> {
  if (body.lengthBytes !== undefined && body.lengthBytes > maxBytes) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of body.bytes) {
    total += chunk.length;
    if (total > maxBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, total);
}

/** An answer with bytes from the store. */
export type BlobAnswer = {
  readonly status: 200 | 206;
  readonly headers: Readonly<Record<string, string>>;
  /** Each chunk may be good only until the next one is asked for. */
  readonly bytes: AsyncIterable<Uint8Array>;
};

/**
 * Sends bytes with back-pressure. The first chunk is awaited before the status is sent, so that content found damaged at its
 * start is an error with a body; later the connection breaks and the answer ends short.
 */
export async function sendBlob(c: Context<Env>, answer: BlobAnswer, limits: TransferLimits): Promise<Response> {
  const source = answer.bytes[Symbol.asyncIterator]();
  const first = await source.next();
  const { outgoing } = c.env ?? {};
  if (outgoing === undefined) {
    return new Response(streamOf(startingWith(first, source)), answer);
  }
  const stopWatching = watchReader(outgoing, limits);
  try {
    outgoing.writeHead(answer.status, answer.headers);
    for (let next = first; next.done !== true; next = await source.next()) await written(outgoing, next.value);
    await ended(outgoing);
  } catch (error) {
    outgoing.destroy();
    if (!(error instanceof ClientGone)) throw error;
  } finally {
    stopWatching();
    await source.return?.();
  }
  return RESPONSE_ALREADY_SENT;
}

/** Resolves when the system has taken every byte of the chunk: its memory may be used again. */
async function written(outgoing: ServerResponse, chunk: Uint8Array): Promise<void> {
  await untilDone(outgoing, (done) => outgoing.write(chunk, done));
}

async function ended(outgoing: ServerResponse): Promise<void> {
  await untilDone(outgoing, (done) => outgoing.end(done));
}

async function untilDone(outgoing: ServerResponse, begin: (done: () => void) => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const lost = () => reject(new ClientGone());
  if (outgoing.destroyed) lost();
  outgoing.once('close', lost);
  begin(() => {
    outgoing.off('close', lost);
    resolve();
  });
  await promise;
}

/** Cuts a reader that takes fewer bytes than the limit in a window, while there is something for it to take. */
function watchReader(outgoing: ServerResponse, limits: TransferLimits): () => void {
  let taken = 0;
  const watch = setInterval(() => {
    const { socket } = outgoing;
    const queued = queuedBytes(socket);
    const now = (socket?.bytesWritten ?? 0) - queued;
    if (queued > 0 && now - taken < bytesPerWindow(limits)) outgoing.destroy();
    taken = now;
  }, limits.windowMs);
  return () => clearInterval(watch);
}

/**
 * Bytes given to a socket that the system has not taken. Node counts a chunk as written whole or not at all; only the handle
 * below, which Node's own time-outs read too, knows how much of it is still waiting.
 */
function queuedBytes(socket: Socket | null): number {
  const handle: unknown = socket === null ? undefined : Reflect.get(socket, '_handle');
  const size: unknown = typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'writeQueueSize') : 0;
  return typeof size === 'number' ? size : 0;
}

/**
 * Yields what arrives. Chunks are queued up to `maxQueuedBytes` while the store is busy, then the socket waits: fewer turns
 * of the event loop than one wait per chunk.
 */
async function* fromSocket(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  limits: TransferLimits,
): AsyncGenerator<Uint8Array> {
  if (incoming.headers.expect !== undefined) outgoing.writeContinue();
  const queue: Uint8Array[] = [];
  const state: { queued: number; received: number; isEnded: boolean; failure: Error | undefined } = {
    queued: 0,
    received: 0,
    isEnded: incoming.readableEnded,
    failure: undefined,
  };
  let wake = () => {};
  const take = (chunk: Uint8Array) => {
    queue.push(chunk);
    state.queued += chunk.length;
    state.received += chunk.length;
    if (state.queued >= maxQueuedBytes) incoming.pause();
    wake();
  };
  const end = () => {
    state.isEnded = true;
    wake();
  };
  const fail = (failure: Error) => {
    state.failure ??= failure;
    wake();
  };
  const lose = () => {
    // A body that is whole closes too.
    if (!state.isEnded) fail(new ClientGone());
  };
  const watch = setInterval(() => {
    if (!incoming.isPaused() && state.received < bytesPerWindow(limits)) fail(new BerthError('tooSlow'));
    state.received = 0;
  }, limits.windowMs);
  incoming.on('data', take).on('end', end).on('error', lose).on('close', lose);
  try {
    while (true) {
      for (let chunk = queue.shift(); chunk !== undefined; chunk = queue.shift()) {
        state.queued -= chunk.length;
        yield chunk;
      }
      if (state.isEnded) return;
      if (state.failure !== undefined) throw state.failure;
      if (incoming.destroyed) throw new ClientGone();
      if (incoming.isPaused()) incoming.resume();
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    clearInterval(watch);
    incoming.off('data', take).off('end', end).off('error', lose).off('close', lose);
    // A connection that breaks after we stopped reading has nobody else to tell.
    incoming.on('error', () => {});
    incoming.pause();
  }
}

function bytesPerWindow({ minBytesPerSecond, windowMs }: TransferLimits): number {
  return (minBytesPerSecond * windowMs) / 1000;
}

function streamOf(bytes: AsyncGenerator<Uint8Array>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    pull: async (controller) => {
      const next = await bytes.next();
      if (next.done === true) controller.close();
      else controller.enqueue(Uint8Array.from(next.value));
    },
    cancel: async () => {
      await bytes.return(undefined);
    },
  });
}

async function* startingWith(
  first: IteratorResult<Uint8Array>,
  source: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  try {
    for (let next = first; next.done !== true; next = await source.next()) yield next.value;
  } finally {
    await source.return?.();
  }
}

async function* noBytes(): AsyncGenerator<Uint8Array> {}
