import { createServer as createHttpServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Writable } from 'node:stream';
import { createNameLookup } from './name-lookup.ts';
import { type ProxyRules, resolveTarget } from './proxy-target.ts';

const connectTimeoutMs = 10_000;
/** Of one cell at a time: each takes a descriptor of the agent's, which the cell's limits do not count. */
const maxConnections = 256;

/**
 * Answers connections from a cell as a proxy for HTTP and TLS, which is its only way out: public addresses and those that
 * the operator opened, each name resolved once and connected to as it was checked (security rule 18).
 */
export function createOutboundProxy(rules: ProxyRules): (connection: Socket) => void {
  const outside = new OutsideConnections(rules);
  const server = createHttpServer((incoming, answer) => {
    forward(outside, incoming, answer).catch((cause: unknown) => refuse(answer, cause));
  });
  server.on('connect', (incoming, client, head) => {
    client.on('error', () => client.destroy());
    tunnel(outside, incoming.url ?? '', client).then(
      (target) => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n');
        if (head.byteLength > 0) target.write(head);
        client.pipe(target);
        target.pipe(client);
        target.on('error', () => client.destroy());
        // What was sent before a good end is on its way yet.
        target.on('close', () => (target.readableEnded ? client.end() : client.destroy()));
      },
      (cause: unknown) => client.end(`HTTP/1.1 403 Forbidden\r\n\r\n${reasonOf(cause)}\n`),
    );
  });
  return (connection) => {
    connection.on('error', () => connection.destroy());
    server.emit('connection', connection);
    connection.resume();
  };
}

/** What one cell has open outside. A connection there lives no longer than what asked for it. */
class OutsideConnections {
  readonly #rules: ProxyRules;
  readonly #find = createNameLookup();
  #count = 0;

  constructor(rules: ProxyRules) {
    this.#rules = rules;
  }

  /** Throws Error with a text for the person who asked. */
  async open(hostName: string, port: number, client: Writable): Promise<Socket> {
    if (this.#count >= maxConnections) throw new Error(`builds have at most ${maxConnections} connections at a time`);
    this.#count += 1;
    try {
      return await this.#connected(await resolveTarget(this.#rules, this.#find, { hostName, port }), client);
    } catch (cause) {
      this.#count -= 1;
      throw cause;
    }
  }

  async #connected(target: { readonly host: string; readonly port: number }, client: Writable): Promise<Socket> {
    if (client.destroyed) throw new Error('nobody waits for the connection');
    return await new Promise((resolve, reject) => {
      const socket = connect({ ...target, timeout: connectTimeoutMs });
      client.once('close', () => socket.destroy());
      socket.once('connect', () => {
        socket.setTimeout(0);
        socket.once('close', () => {
          this.#count -= 1;
        });
        resolve(socket);
      });
      socket.once('timeout', () => socket.destroy(new Error('no connection within 10 s')));
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('nobody waits for the connection')));
    });
  }
}

async function tunnel(outside: OutsideConnections, authority: string, client: Writable): Promise<Socket> {
  const url = URL.parse(`https://${authority}`);
  if (url === null) throw new Error('the address is malformed');
  return await outside.open(url.hostname, Number(url.port || 443), client);
}

async function forward(outside: OutsideConnections, incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
  const url = URL.parse(incoming.url ?? '');
  if (url?.protocol !== 'http:') throw new Error('only http addresses are forwarded');
  const socket = await outside.open(url.hostname, Number(url.port || 80), answer);
  const kept = Object.entries(incoming.headers).filter(([name]) => !name.startsWith('proxy-'));
  const headers = { ...Object.fromEntries(kept), host: url.host };
  const { method = 'GET' } = incoming;
  const path = `${url.pathname}${url.search}`;
  const outgoing = request({ createConnection: () => socket, method, path, headers }, (response) => {
    response.on('error', () => answer.destroy());
    pass(response, answer);
  });
  outgoing.on('error', (cause) => refuse(answer, cause));
  outgoing.on('close', () => answer.headersSent || refuse(answer, new Error('the server gave no answer')));
  answer.on('error', () => answer.destroy());
  incoming.pipe(outgoing);
}

/** Whoever is outside may send anything, also what no answer can be made of. */
function pass(response: IncomingMessage, answer: ServerResponse): void {
  const { statusCode = 0 } = response;
  // Trailers themselves are not given on, and announced without chunks they are an error here.
  const { trailer: _, ...headers } = response.headers;
  try {
    if (statusCode < 200 || statusCode > 599) throw new Error(`the server answered with the status ${statusCode}`);
    answer.writeHead(statusCode, headers);
    response.pipe(answer);
  } catch (cause) {
    response.destroy();
    refuse(answer, cause);
  }
}

function refuse(answer: ServerResponse, cause: unknown): void {
  if (answer.headersSent) answer.destroy();
  else answer.writeHead(403, { 'content-type': 'text/plain' }).end(`${reasonOf(cause)}\n`);
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
