import { createServer, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https';
import type { Socket } from 'node:net';
import { type ErrorName, errorCatalogue } from '../../core/errors.ts';
import type { Certificates } from '../../platform/certificates/certificates.ts';
import type { Clock } from '../../platform/clock.ts';

export type Listener = {
  /** `localhost` stands for 127.0.0.1 and [::1]. */
  readonly host: string;
  readonly port: number;
  /** Name of the setting that says so, for messages. */
  readonly setting?: string;
  /** Present for HTTPS. */
  readonly certificates?: Pick<Certificates, 'sniCallback' | 'serve'>;
};

export type HttpServersParts = {
  readonly listeners: readonly Listener[];
  readonly answer: RequestListener;
  readonly clock: Clock;
};

export type HttpServers = {
  /** Stops accepting, waits for requests in flight, closes what is left after `graceMs`. */
  readonly stop: (graceMs: number) => Promise<void>;
};

/** Whole headers within this time, and a size that leaves room for long tokens. */
const limits = {
  headersTimeout: 20_000,
  // Bodies have a minimum rate and an idle limit of their own: a total time would cut big pushes.
  requestTimeout: 0,
  connectionsCheckingInterval: 5_000,
  // Longer than load balancers keep an idle connection, so that they never send into one that just closed.
  keepAliveTimeout: 75_000,
  maxHeaderSize: 16 * 1024,
} as const;

/** Listens on every address or on none. Throws when an address is taken or unknown. */
export async function startHttpServers(parts: HttpServersParts): Promise<HttpServers> {
  const servers: Server[] = [];
  try {
    for (const listener of parts.listeners) {
      for (const host of hostsOf(listener.host))
        await listen(await serverFor(listener, parts.answer), { ...listener, host }, servers);
    }
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  return { stop: (graceMs) => stopAll(servers, graceMs, parts.clock) };
}

function hostsOf(host: string): readonly string[] {
  return host === 'localhost' ? ['127.0.0.1', '::1'] : [host];
}

async function serverFor({ certificates }: Listener, answer: RequestListener): Promise<Server> {
  const server = certificates === undefined ? createServer(limits) : await tlsServer(certificates);
  server.on('request', answer);
  // The app decides first; reading the body writes `100 Continue`.
  server.on('checkContinue', answer);
  server.on('clientError', refuseMalformed);
  return server;
}

async function tlsServer({ sniCallback, serve }: NonNullable<Listener['certificates']>): Promise<TlsServer> {
  const server = createTlsServer({ ...limits, ALPNProtocols: ['http/1.1'], SNICallback: sniCallback });
  await serve(server);
  return server;
}

async function listen(server: Server, { host, port, setting }: Listener, servers: Server[]): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject).listen({ host, port }, resolve);
  try {
    await promise;
    servers.push(server);
  } catch (error) {
    // A machine without IPv6 still has the IPv4 half of localhost.
    if (host !== '::1' || !isCode(error, 'EADDRNOTAVAIL', 'EAFNOSUPPORT')) throw cannotListen(error, setting);
  } finally {
    server.off('error', reject);
  }
}

function cannotListen(cause: unknown, setting: string | undefined): unknown {
  if (setting === undefined || !(cause instanceof Error)) return cause;
  const remedy = `stop what uses the address, or give --${setting} another one`;
  return new Error(`cannot serve --${setting}: ${cause.message}: ${remedy}`, { cause });
}

async function stopAll(servers: readonly Server[], graceMs: number, clock: Clock): Promise<void> {
  const closed = Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  const done = new AbortController();
  const settled = closed.then(() => done.abort());
  const deadlineMs = clock.monotonicMs() + graceMs;
  while (!done.signal.aborted && clock.monotonicMs() < deadlineMs) {
    for (const server of servers) server.closeIdleConnections();
    await clock.sleep(50, done.signal).catch(() => {
      // Everything closed: no need to wait on.
    });
  }
  for (const server of servers) server.closeAllConnections();
  await settled;
}

/** Answers what Node could not parse; there is no request to hand to the app. */
function refuseMalformed(error: Error, socket: Socket): void {
  if (!socket.writable || isCode(error, 'ECONNRESET')) {
    socket.destroy();
    return;
  }
  const { status, code, message } = errorCatalogue[rowFor(error)];
  const body = JSON.stringify({ errors: [{ code, message }] });
  const headers = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
  socket.end(`HTTP/1.1 ${status} ${message}\r\n${headers}\r\n\r\n${body}`);
}

function rowFor(error: Error): ErrorName {
  if (isCode(error, 'HPE_HEADER_OVERFLOW')) return 'headersTooLarge';
  return isCode(error, 'ERR_HTTP_REQUEST_TIMEOUT') ? 'tooSlow' : 'requestInvalid';
}

function isCode(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
