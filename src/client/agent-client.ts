import {
  type BuiltInLine,
  builtInLineSchema,
  type LeaseRequest,
  type LeaseState,
  leaseStateSchema,
  logOffsetSchema,
  type RunOrder,
  type RunResult,
  runOrderSchema,
  type VaultSecrets,
  vaultSecretsSchema,
} from '../wire/builds/agent-protocol.ts';
import type { VaultSecret } from '../wire/tasks/vault-secret.ts';
import { errorOf } from './http.ts';

/** Where the server is, and the token of the agent's pool. `fetch` must trust the server's certificate. */
export type AgentConnection = {
  /** Scheme, host and port. */
  readonly origin: string;
  readonly token: string;
  readonly fetch: typeof fetch;
  /** Of calls that answer at once. */
  readonly timeoutMs: number;
};

/** The run was given to another agent, or has ended: nothing more is to be said of it. */
export class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

export type LogAnswer =
  | { readonly kind: 'kept'; readonly state: LeaseState }
  /** The server has more or less of the log than was thought: what begins there is next. */
  | { readonly kind: 'elsewhere'; readonly offset: number };

/**
 * What an agent asks of the server. Calls with a lease throw LeaseLost when it is gone, ClientError when the server says no,
 * and what `fetch` throws when it cannot be reached: those may be tried again while the lease lasts.
 */
export type AgentClient = {
  /** Waits up to 25 s for a run; undefined without one. */
  readonly lease: (request: LeaseRequest, signal: AbortSignal) => Promise<RunOrder | undefined>;
  readonly heartbeat: (lease: string) => Promise<LeaseState>;
  readonly log: (lease: string, offset: number, bytes: Uint8Array) => Promise<LogAnswer>;
  /** The archive of the run's files. */
  readonly context: (lease: string, signal: AbortSignal) => Promise<AsyncIterable<Uint8Array>>;
  /** A command that the server does, line by line. */
  readonly command: (lease: string, words: readonly string[], signal: AbortSignal) => AsyncGenerator<BuiltInLine>;
  /** Values of secrets that key vaults keep, or why there are none. */
  readonly secrets: (lease: string, secrets: readonly VaultSecret[], signal: AbortSignal) => Promise<VaultSecrets>;
  readonly finish: (lease: string, result: RunResult) => Promise<void>;
};

/** The server answers after 25 s; the network may take its time. */
const leaseTimeoutMs = 60_000;

export function createAgentClient(connection: AgentConnection): AgentClient {
  const of = (lease: string, word: string) => `/agent/v1/leases/${encodeURIComponent(lease)}/${word}`;
  const quick = () => AbortSignal.timeout(connection.timeoutMs);
  const json = { 'Content-Type': 'application/json' };
  return {
    lease: async (request, signal) => {
      const limits = AbortSignal.any([signal, AbortSignal.timeout(leaseTimeoutMs)]);
      const body = JSON.stringify(request);
      const response = await post(connection, '/agent/v1/lease', { headers: json, body, signal: limits });
      if (response.status === 204) return undefined;
      return runOrderSchema.parse(await response.json());
    },
    heartbeat: async (lease) =>
      leaseStateSchema.parse(await (await post(connection, of(lease, 'heartbeat'), { signal: quick() })).json()),
    log: async (lease, offset, bytes) => {
      const path = `${of(lease, 'log')}?offset=${offset}`;
      const body = new Uint8Array(bytes);
      const response = await post(connection, path, { body, signal: quick() }, [409]);
      const answer: unknown = await response.json();
      if (response.status === 409) return { kind: 'elsewhere', offset: logOffsetSchema.parse(answer).offset };
      return { kind: 'kept', state: leaseStateSchema.parse(answer) };
    },
    context: async (lease, signal) => {
      const { body } = await call(connection, 'GET', of(lease, 'context'), { signal });
      if (body === null) throw new Error('the server sent no files');
      return body;
    },
    command: async function* (lease, words, signal) {
      const body = JSON.stringify({ words });
      const response = await post(connection, of(lease, 'command'), { headers: json, body, signal });
      yield* linesOf(response);
    },
    secrets: async (lease, secrets, signal) => {
      const body = JSON.stringify({ secrets });
      const response = await post(connection, of(lease, 'secrets'), { headers: json, body, signal });
      return vaultSecretsSchema.parse(await response.json());
    },
    finish: async (lease, result) => {
      await post(connection, of(lease, 'finish'), { headers: json, body: JSON.stringify(result), signal: quick() });
    },
  };
}

async function post(
  connection: AgentConnection,
  path: string,
  init: RequestInit,
  expected: readonly number[] = [],
): Promise<Response> {
  return await call(connection, 'POST', path, init, expected);
}

async function call(
  { origin, token, fetch }: AgentConnection,
  method: 'GET' | 'POST',
  path: string,
  init: RequestInit,
  expected: readonly number[] = [],
): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('Authorization', `Bearer ${token}`);
  const response = await fetch(`${origin}${path}`, { ...init, method, headers, redirect: 'error' });
  if (response.ok || expected.includes(response.status)) return response;
  const error = errorOf(`${method} ${path.replace(/leases\/[^/]+/, 'leases/…')}`, response, await response.text());
  throw response.status === 410 ? new LeaseLost(error.message) : error;
}

async function* linesOf(response: Response): AsyncGenerator<BuiltInLine> {
  if (response.body === null) return;
  let rest = '';
  for await (const text of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = `${rest}${text}`.split('\n');
    rest = lines.pop() ?? '';
    for (const each of lines) yield builtInLineSchema.parse(JSON.parse(each));
  }
}
