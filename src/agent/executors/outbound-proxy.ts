import { createServer as createHttpServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { type ProxyRules, resolveTarget } from './proxy-target.ts';
import { joinSockets } from './user-cell.ts';

const connectTimeoutMs = 10_000;

/**
 * Answers connections from a cell as a proxy for HTTP and TLS, which is its only way out: public addresses and those that
 * the operator opened, each name resolved once and connected to as it was checked (security rule 18).
 */
export function createOutboundProxy(rules: ProxyRules): (connection: Socket) => void {
  const server = createHttpServer((incoming, answer) => {
    forward(rules, incoming, answer).catch((cause: unknown) => refuse(answer, cause));
  });
  server.on('connect', (incoming, socket, head) => {
    const client = socket;
    client.on('error', () => client.destroy());
    tunnel(rules, incoming.url ?? '').then(
      (target) => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n');
        if (head.byteLength > 0) target.write(head);
        client.pipe(target);
        target.pipe(client);
        target.on('error', () => client.destroy());
        target.on('close', () => client.destroy());
        client.on('close', () => target.destroy());
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

/** Carries connections of a cell to one address outside, whatever they say. */
export function createRelay(target: { readonly host: string; readonly port: number }): (connection: Socket) => void {
  return (connection) => {
    joinSockets(connection, connect({ ...target, timeout: 0 }));
    connection.resume();
  };
}

async function tunnel(rules: ProxyRules, authority: string): Promise<Socket> {
  const url = URL.parse(`https://${authority}`);
  if (url === null) throw new Error('the address is malformed');
  const target = await resolveTarget(rules, url.hostname, Number(url.port || 443));
  return await new Promise((resolve, reject) => {
    const socket = connect({ ...target, timeout: connectTimeoutMs });
    socket.once('connect', () => {
      socket.setTimeout(0);
      resolve(socket);
    });
    socket.once('timeout', () => socket.destroy(new Error('no connection within 10 s')));
    socket.once('error', reject);
  });
}

async function forward(rules: ProxyRules, incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
  const url = URL.parse(incoming.url ?? '');
  if (url?.protocol !== 'http:') throw new Error('only http addresses are forwarded');
  const target = await resolveTarget(rules, url.hostname, Number(url.port || 80));
  const kept = Object.entries(incoming.headers).filter(([name]) => !name.startsWith('proxy-'));
  const headers = { ...Object.fromEntries(kept), host: url.host };
  const { method = 'GET' } = incoming;
  const outgoing = request({ ...target, method, path: `${url.pathname}${url.search}`, headers }, (response) => {
    answer.writeHead(response.statusCode ?? 502, response.headers);
    response.pipe(answer);
    response.on('error', () => answer.destroy());
  });
  outgoing.on('error', (cause) => refuse(answer, cause));
  answer.on('close', () => outgoing.destroy());
  incoming.pipe(outgoing);
}

function refuse(answer: ServerResponse, cause: unknown): void {
  if (answer.headersSent) answer.destroy();
  else answer.writeHead(403, { 'content-type': 'text/plain' }).end(`${reasonOf(cause)}\n`);
}

function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
