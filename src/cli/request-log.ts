import { z } from 'zod';
import { classOfMethod, type RequestClass } from '../core/throttle-limits.ts';
import type { PastRequest } from '../core/throttle-replay.ts';

/** A line of the server's log that tells of a request. */
const lineSchema = z.object({
  msg: z.literal('request'),
  time: z.iso.datetime(),
  method: z.string(),
  path: z.string(),
  registry: z.string(),
  identity: z.string().default(''),
  identityName: z.string().default(''),
  address: z.string().default(''),
});

/** The identity that all who did not sign in share. */
const stranger = 'anonymous';

/** Reads the requests to registries in a server's log, JSON lines; other lines are passed over. */
export class RequestLog {
  readonly #names = new Map<string, string>();
  #requests = 0;

  /** Requests read so far. */
  get requests(): number {
    return this.#requests;
  }

  /** Undefined for a line that tells of none that was let in. */
  read(line: string): PastRequest | undefined {
    const parsed = lineSchema.safeParse(parseJson(line));
    if (!parsed.success) return undefined;
    const { time, method, path, registry, identity, identityName, address } = parsed.data;
    const requestClass = classOf(method, path);
    // Who was not let in is not counted.
    if (requestClass === undefined || (requestClass !== 'oauth' && identity === '')) return undefined;
    this.#requests += 1;
    if (identity !== '') this.#names.set(identity, identityName === '' ? identity : identityName);
    const counted = requestClass === 'oauth' ? '' : identity;
    const from = counted === stranger ? { strangersAddress: address } : {};
    return { atMicros: Date.parse(time) * 1_000, registry, identity: counted, requestClass, ...from };
  }

  nameOf(identity: string): string {
    return this.#names.get(identity) ?? identity;
  }
}

function classOf(method: string, path: string): RequestClass | undefined {
  if (/^\/oauth2\/(token|exchange)$/.test(path)) return 'oauth';
  if (/^\/v2\/.+\/referrers\/[^/]+$/.test(path) && classOfMethod(method) === 'read') return 'referrers';
  return /^\/(v2|acr\/v1)(\/|$)/.test(path) ? classOfMethod(method) : undefined;
}

function parseJson(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    // Not one of ours.
    return undefined;
  }
}
