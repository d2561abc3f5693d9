import { type Context, Hono } from 'hono';
import { stream } from 'hono/streaming';
import { BerthError } from '../../core/errors.ts';
import { acceptHistory } from '../../features/insight/accept-history.ts';
import type { CheckpointParts } from '../../features/insight/audit-checkpoints.ts';
import {
  type AuditCursor,
  type AuditFilter,
  type AuditQueryParts,
  auditPage,
} from '../../features/insight/audit-query.ts';
import { auditRowOf } from '../../features/insight/audit-row.ts';
import { type Finding, verifyAudit } from '../../features/insight/audit-verification.ts';
import type { StoreNotes } from '../../platform/blob-store/store-notes.ts';
import type { Log } from '../../platform/log.ts';
import {
  type AuditAcceptance,
  type AuditFinding,
  type AuditPageView,
  auditQuerySchema,
} from '../../wire/events/audit-schema.ts';
import { type AdminCallParts, asOwner, registryNamed } from '../admin/admin-call.ts';
import type { Env } from '../middleware/env.ts';

export type AuditRouteParts = AdminCallParts &
  AuditQueryParts &
  CheckpointParts & {
    readonly log: Log;
    /** GUID. */
    readonly tenantId: string;
    /** Where old accesses are kept; undefined when nobody wants them. */
    readonly auditArchive?: StoreNotes | undefined;
  };

const exportPage = 1_000;

/** The audit: pages, export as JSON lines, the check that nobody changed it, and what is taken as it is. Owners only. */
export function auditRoutes(parts: AuditRouteParts): Hono<Env> {
  const routes = new Hono<Env>();
  const ofRegistry = (c: Context<Env>) => registryNamed(parts, c).uid;
  const ofTenant = () => parts.tenantUid;
  for (const [path, scopeOf] of [
    ['/admin/audit', ofTenant],
    ['/admin/registries/:name/audit', ofRegistry],
  ] as const) {
    routes.get(
      path,
      asOwner(parts, async (c) => {
        const { filter, limit, cursor } = queryOf(c, scopeOf(c));
        const { records, next } = await auditPage(parts, filter, { after: cursor, limit });
        const value = records.map((record) => auditRowOf(parts, record));
        const view: AuditPageView = { value, next: next === undefined ? null : cursorText(next) };
        return c.json(view);
      }),
    );
    routes.get(
      `${path}/export`,
      asOwner(parts, async (c) => {
        const { filter, cursor } = queryOf(c, scopeOf(c));
        c.header('Content-Type', 'application/jsonl');
        return stream(c, (out) => exportAll(parts, filter, cursor, out));
      }),
    );
  }
  routes.post(
    '/admin/audit/verify',
    asOwner(parts, async (c) => {
      c.header('Content-Type', 'application/jsonl');
      return stream(c, async (out) => {
        for await (const finding of verifyAudit(parts)) {
          if (out.aborted) return;
          await out.write(`${JSON.stringify(findingView(finding))}\n`);
        }
      });
    }),
  );
  routes.post(
    '/admin/audit/accept',
    asOwner(parts, async (c, by) => {
      const answer: AuditAcceptance = { missing: (await acceptHistory(parts, by.uid)) ?? null };
      return c.json(answer);
    }),
  );
  return routes;
}

type Out = { readonly aborted: boolean; readonly write: (text: string) => Promise<unknown> };

async function exportAll(
  parts: AuditRouteParts,
  filter: AuditFilter,
  start: AuditCursor | undefined,
  out: Out,
): Promise<void> {
  for (let after = start; !out.aborted; ) {
    const { records, next } = await auditPage(parts, filter, { after, limit: exportPage });
    await out.write(records.map((record) => `${JSON.stringify(auditRowOf(parts, record))}\n`).join(''));
    if (next === undefined) return;
    after = next;
  }
}

/** Throws `requestInvalid`. */
function queryOf(c: Context<Env>, scope: string) {
  const result = auditQuerySchema.safeParse(c.req.query());
  if (!result.success)
    throw new BerthError(
      'requestInvalid',
      result.error.issues.map(({ path, message }) => ({ field: path.join('.'), message })),
    );
  const { operation, address, result: resultType, from, to, limit, cursor, ...same } = result.data;
  const filter: AuditFilter = {
    ...same,
    scope,
    operationName: operation,
    callerIpAddress: address,
    resultType,
    fromMicros: from,
    toMicros: to,
  };
  return { filter, limit, cursor: cursor === undefined ? undefined : cursorOf(cursor) };
}

function cursorText({ atMicros, id }: AuditCursor): string {
  return Buffer.from(`${atMicros} ${id}`).toString('base64url');
}

/** Throws `requestInvalid`. */
function cursorOf(text: string): AuditCursor {
  const [, at, id] = /^(\d{1,16}) ([\x21-\x7e]{0,400})$/.exec(Buffer.from(text, 'base64url').toString()) ?? [];
  if (at === undefined || id === undefined)
    throw new BerthError('requestInvalid', [{ field: 'cursor', message: 'it is not one that this server gave' }]);
  return { atMicros: Number(at), id };
}

function findingView({ at, reason, ...finding }: Finding): AuditFinding {
  return { ...finding, at: at ?? null, reason: reason ?? null };
}
