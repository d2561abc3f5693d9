import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { openCertificateAuthority } from '../../../src/platform/certificates/certificate-authority.ts';
import { systemClock as clock } from '../../../src/platform/system-clock.ts';
import { systemIds as ids } from '../../../src/platform/system-ids.ts';
import { freePort } from '../free-port.ts';
import { answerHeaders, type Exchange, requestHeaders } from './exchange.ts';

/** A server in front of another one that writes down what goes through; clients speak https to `origin`. */
export class ExchangeRecorder {
  readonly origin: string;
  /** The certificate of its authority. */
  readonly caPath: string;
  readonly #server: Server;
  #exchanges: Exchange[] = [];

  constructor(origin: string, caPath: string, server: Server) {
    this.origin = origin;
    this.caPath = caPath;
    this.#server = server;
  }

  add(exchange: Exchange): void {
    this.#exchanges.push(exchange);
  }

  /** What went through since the last time. */
  take(): Exchange[] {
    const taken = this.#exchanges;
    this.#exchanges = [];
    return taken;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

/** Starts one in front of `target`, an http origin. Its keys go to `folder`. */
export async function startRecorder(folder: string, target: string): Promise<ExchangeRecorder> {
  const authority = await openCertificateAuthority({ folder, clock, ids });
  const { certPem, keyPem } = await authority.issue({ dns: ['localhost'], ip: ['127.0.0.1'] });
  const port = await freePort();
  const server = createServer({ cert: certPem, key: keyPem }, (request, response) => {
    pass(request, response, target).then(
      (exchange) => recorder.add(exchange),
      (error: unknown) => response.destroy(error instanceof Error ? error : new Error(String(error))),
    );
  });
  const recorder = new ExchangeRecorder(`https://localhost:${port}`, authority.path, server);
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return recorder;
}

async function pass(request: IncomingMessage, response: ServerResponse, target: string): Promise<Exchange> {
  const { method = 'GET', url: path = '/', headers } = request;
  const body = await bytesOf(request);
  const sent = new Headers();
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'string' && !['connection', 'content-length', 'host', 'accept-encoding'].includes(name))
      sent.set(name, value);
  }
  sent.set('x-forwarded-proto', 'https');
  sent.set('x-forwarded-host', headers.host ?? '');
  const hasBody = body.length > 0;
  const answer = await fetch(`${target}${path}`, {
    method,
    headers: sent,
    redirect: 'manual',
    ...(hasBody ? { body: new Uint8Array(body) } : {}),
  });
  const answered = Buffer.from(await answer.arrayBuffer());
  const kept = [...answer.headers].filter(
    ([name]) => !['connection', 'keep-alive', 'transfer-encoding'].includes(name),
  );
  response.writeHead(answer.status, Object.fromEntries(kept));
  response.end(answered);
  const text = answered.toString('utf8');
  return {
    request: {
      method,
      path,
      headers: picked(sent, requestHeaders),
      ...(hasBody ? { body: bodyOf(body.toString('utf8'), headers['content-type'] ?? '') } : {}),
    },
    answer: {
      status: answer.status,
      headers: picked(answer.headers, answerHeaders),
      ...(text === '' ? {} : { body: JSON.parse(text) }),
    },
  };
}

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function picked(headers: Headers, names: readonly string[]): Record<string, string> {
  return Object.fromEntries([...headers].filter(([name]) => names.includes(name)));
}

/** A template is sent with comments, as text that is no JSON. */
function bodyOf(text: string, contentType: string): NonNullable<Exchange['request']['body']> {
  if (contentType.includes('x-www-form-urlencoded')) return { form: Object.fromEntries(new URLSearchParams(text)) };
  try {
    return { json: JSON.parse(text) };
  } catch {
    return { text };
  }
}
