import type { z } from 'zod';
import { adminErrorSchema } from '../wire/admin/error-schema.ts';
import { ClientError } from './client-error.ts';

/** Where the server is and who asks. `fetch` must trust the server's certificate. */
export type Connection = {
  /** Scheme, host and port. */
  readonly origin: string;
  readonly username: string;
  readonly password: string;
  readonly fetch: typeof fetch;
  readonly timeoutMs: number;
};

type Method = 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';

/** Sends one JSON request and checks the answer against its schema. Throws ClientError when the server says no. */
export async function send<Answer>(
  connection: Connection,
  method: Method,
  path: string,
  answer: z.ZodType<Answer>,
  body?: unknown,
): Promise<Answer> {
  const response = await connection.fetch(`${connection.origin}${path}`, {
    method,
    headers: {
      Authorization: `Basic ${basic(connection.username, connection.password)}`,
      ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(connection.timeoutMs),
    redirect: 'error',
  });
  const text = await response.text();
  if (!response.ok) throw errorOf(`${method} ${path}`, response, text);
  return answer.parse(JSON.parse(text));
}

/** Sends one JSON request and reads an answer of JSON lines as they come. Throws ClientError when the server says no. */
export async function* sendForLines<Line>(
  connection: Connection,
  path: string,
  line: z.ZodType<Line>,
  body: unknown,
): AsyncGenerator<Line> {
  const response = await connection.fetch(`${connection.origin}${path}`, {
    method: 'POST',
    headers: {
      Authorization: `Basic ${basic(connection.username, connection.password)}`,
      'Content-Type': 'application/json',
    },
    body: JSON.stringify(body),
    redirect: 'error',
  });
  if (!response.ok || response.body === null) throw errorOf(`POST ${path}`, response, await response.text());
  let rest = '';
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop() ?? '';
    for (const each of lines) yield line.parse(JSON.parse(each));
  }
}

function basic(username: string, password: string): string {
  return new TextEncoder().encode(`${username}:${password}`).toBase64();
}

/** What a refusal says. */
export function errorOf(request: string, response: Response, text: string): ClientError {
  const correlationId = response.headers.get('x-ms-correlation-request-id') ?? undefined;
  const { status } = response;
  const body = adminErrorSchema.safeParse(parseJson(text));
  if (body.success) return new ClientError({ request, status, correlationId, ...body.data.error });
  const message = `unexpected answer: ${text.slice(0, 200)}`;
  return new ClientError({ request, status, correlationId, code: 'UNKNOWN', message, remedy: 'Check the address.' });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not ours: the caller shows the text instead.
    return undefined;
  }
}
