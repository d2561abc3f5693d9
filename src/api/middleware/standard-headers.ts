import type { Context } from 'hono';
import { correlationHeader } from './correlation-id.ts';
import type { Call, Env } from './env.ts';

type Header = readonly [name: string, value: string];

const always: readonly Header[] = [
  ['Docker-Distribution-Api-Version', 'registry/2.0'],
  ['X-Content-Type-Options', 'nosniff'],
  ['Access-Control-Expose-Headers', 'Docker-Content-Digest, WWW-Authenticate, Link, X-Ms-Correlation-Request-Id'],
];
const encrypted: readonly Header[] = [['Strict-Transport-Security', 'max-age=31536000; includeSubDomains']];

/**
 * What every answer carries. Source: ACR semantics, standard response headers. Set on Node's response where there is one, so
 * that answers written past Hono have them too; otherwise call it after the route has run.
 */
export function setStandardHeaders(c: Context<Env>, { correlationId, isEncrypted }: Answered): void {
  const outgoing = c.env?.outgoing;
  const set = (name: string, value: string) => (outgoing ? outgoing.setHeader(name, value) : c.header(name, value));
  for (const [name, value] of always) set(name, value);
  if (isEncrypted) for (const [name, value] of encrypted) set(name, value);
  set(correlationHeader, correlationId);
}

type Answered = Pick<Call, 'correlationId'> & { readonly isEncrypted: boolean };
