import { Hono } from 'hono';
import type { Env } from './env.ts';

/** What a person sees who opens the address in a browser; nothing that is not public. */
export function statusPage(): Hono<Env> {
  return new Hono<Env>().get('/', (c) =>
    c.text(
      [
        'Berth: a private container registry.',
        '',
        `Sign in:  docker login ${c.var.call.origin.replace(/^https?:\/\//, '')}`,
        'Health:   /healthz /readyz',
        'API:      /v2/',
        '',
      ].join('\n'),
    ),
  );
}
