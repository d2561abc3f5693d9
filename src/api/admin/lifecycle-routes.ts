import { Hono } from 'hono';
import { stream } from 'hono/streaming';
import { BerthError } from '../../core/errors.ts';
import type { LifecycleItem, LifecyclePolicy, LifecycleRun } from '../../features/retention/lifecycle-store.ts';
import type { Lifecycles } from '../../features/retention/lifecycles.ts';
import type { PurgeItem } from '../../features/retention/take-selection.ts';
import type { Log } from '../../platform/log.ts';
import {
  type LifecycleItemView,
  type LifecycleLine,
  type LifecycleRunPage,
  type LifecycleRunView,
  type LifecycleView,
  lifecyclePreviewSchema,
  lifecycleSetSchema,
} from '../../wire/admin/lifecycle-schema.ts';
import type { Env } from '../middleware/env.ts';
import { type AdminCallParts, asOwner, bodyOf, registryNamed } from './admin-call.ts';

export type LifecycleRouteParts = AdminCallParts & { readonly lifecycles: Lifecycles; readonly log: Log };

const hourMs = 3_600_000;
const usualEveryMs = 24 * hourMs;

/** The rules by which content of a registry leaves: set, looked at, tried, applied. */
export function lifecycleRoutes(parts: LifecycleRouteParts): Hono<Env> {
  const { lifecycles } = parts;
  const routes = new Hono<Env>();
  const show = async (registryUid: string) =>
    viewOf(await lifecycles.policy(registryUid), await lifecycles.runs(registryUid));
  routes.get(
    '/admin/registries/:name/lifecycle',
    asOwner(parts, async (c) => c.json(await show(registryNamed(parts, c).uid))),
  );
  routes.put(
    '/admin/registries/:name/lifecycle',
    asOwner(parts, async (c, by) => {
      const { uid: registryUid, tenantUid } = registryNamed(parts, c);
      const { rules, everyHours } = await bodyOf(parts, c, lifecycleSetSchema);
      await lifecycles.set({ registryUid, tenantUid, rules, everyMs: everyHours * hourMs, actor: by.uid });
      return c.json(await show(registryUid));
    }),
  );
  routes.post(
    '/admin/registries/:name/lifecycle/preview',
    asOwner(parts, async (c, _by, authority) => {
      const { uid } = registryNamed(parts, c);
      const { rules } = await bodyOf(parts, c, lifecyclePreviewSchema);
      const stopped = new AbortController();
      const items = lifecycles.preview(uid, authority, { rules, signal: stopped.signal });
      c.header('Content-Type', 'application/x-ndjson');
      return stream(c, async (out) => {
        out.onAbort(() => stopped.abort());
        const write = async (line: LifecycleLine) => {
          await out.write(`${JSON.stringify(line)}\n`);
        };
        await write(await tell(parts, items, write));
      });
    }),
  );
  routes.post(
    '/admin/registries/:name/lifecycle/runs',
    asOwner(parts, async (c) => {
      const run = await lifecycles.ask(registryNamed(parts, c).uid);
      return c.json(pageOf(run, [], 0), 202);
    }),
  );
  routes.get(
    '/admin/registries/:name/lifecycle/runs/:id',
    asOwner(parts, async (c) => {
      const after = Number(c.req.query('after') ?? '0');
      if (!Number.isSafeInteger(after) || after < 0)
        throw new BerthError('requestInvalid', [{ field: 'after', message: 'a number is expected' }]);
      const { run, items } = await lifecycles.run(registryNamed(parts, c).uid, c.req.param('id') ?? '', after);
      return c.json(pageOf(run, items, after));
    }),
  );
  return routes;
}

/** Answers the last line. */
async function tell(
  { log }: LifecycleRouteParts,
  items: AsyncGenerator<PurgeItem>,
  write: (line: LifecycleLine) => Promise<void>,
): Promise<LifecycleLine> {
  const totals = { tags: 0, manifests: 0, freedBytes: 0 };
  try {
    for await (const item of items) {
      if (item.outcome === 'wouldDelete') totals[item.tag === undefined ? 'manifests' : 'tags'] += 1;
      totals.freedBytes += item.freedBytes;
      await write(itemView(item));
    }
    return totals;
  } catch (error) {
    if (error instanceof BerthError) return { error: error.message };
    log.error('a preview of lifecycle rules failed', { error });
    return { error: 'the preview stopped at a fault of the server, which is in its log' };
  }
}

function viewOf(policy: LifecyclePolicy | undefined, runs: readonly LifecycleRun[]): LifecycleView {
  return {
    rules: [...(policy?.rules ?? [])],
    everyHours: (policy?.everyMs ?? usualEveryMs) / hourMs,
    nextRunAt: policy === undefined ? null : isoOf(policy.nextRunAtMicros),
    runs: runs.map(runView),
  };
}

function pageOf(run: LifecycleRun, items: readonly LifecycleItem[], after: number): LifecycleRunPage {
  return { run: runView(run), items: items.map(itemView), last: items.at(-1)?.seq ?? after };
}

function runView(run: LifecycleRun): LifecycleRunView {
  const { uid, askedAtMicros, endedAtMicros, tags, manifests, freedBytes, problem } = run;
  return {
    id: uid,
    askedAt: isoOf(askedAtMicros),
    endedAt: endedAtMicros === undefined ? null : isoOf(endedAtMicros),
    tags,
    manifests,
    freedBytes,
    problem: problem ?? null,
  };
}

function itemView({ repository, tag, digest, rule, reason, outcome, why, freedBytes }: PurgeItem): LifecycleItemView {
  return {
    repository,
    tag: tag ?? null,
    digest,
    rule: rule ?? null,
    reason,
    outcome,
    why: why ?? null,
    freedBytes,
  };
}

function isoOf(micros: number): string {
  return new Date(micros / 1000).toISOString();
}
