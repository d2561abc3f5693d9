import { z } from 'zod';
import type { Received } from '../support/webhook-receiver.ts';
import type { History } from './history.ts';

const bodySchema = z.object({
  id: z.string(),
  action: z.string(),
  target: z.object({ repository: z.string(), tag: z.string().optional(), digest: z.string() }),
});

/** I8: each push of a tag that was acknowledged reached the receiver, under one id however often it was sent. */
export function untold(history: History, received: readonly Received[]): string[] {
  const bodies = received
    .map(({ body }) => bodySchema.parse(JSON.parse(body)))
    .filter(({ action }) => action === 'push');
  const ids = new Map<string, Set<string>>();
  for (const { id, target } of bodies) {
    const name = nameOf(target.repository, target.tag, target.digest);
    ids.set(name, (ids.get(name) ?? new Set()).add(id));
  }
  const again = [...ids].filter(([, { size }]) => size > 1).map(([name]) => `I8: ${name} was told under several ids`);
  const missing = history.entries().flatMap((entry) => {
    if (entry.kind !== 'push' || entry.outcome !== 'ok' || entry.tag === undefined) return [];
    const name = nameOf(entry.repository, entry.tag, entry.manifest.digest);
    return ids.has(name) ? [] : [`I8: ${name} was never told`];
  });
  return [...missing, ...again];
}

function nameOf(repository: string, tag: string | undefined, digest: string): string {
  return `${repository}:${tag ?? ''}@${digest}`;
}
