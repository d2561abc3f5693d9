import { BerthError } from '../../core/errors.ts';
import { type BlobAddresses, blobContainer } from '../../features/builds/blob-addresses.ts';
import type { Run } from '../../features/builds/run.ts';
import { parseRunFilter } from '../../features/builds/run-filter.ts';
import { isRunId } from '../../features/builds/run-id.ts';
import { maxListed, type Runs } from '../../features/builds/runs.ts';
import { parseProperties } from '../../features/resources/parse-properties.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Resource } from '../../features/resources/resource.ts';
import { findResource } from '../../features/resources/resource-store.ts';
import { missing } from '../../features/resources/resources.ts';
import type { Database } from '../../platform/database/database.ts';
import { runUpdateSchema } from '../../wire/builds/run-request.ts';
import type { TransferLimits } from '../middleware/streams.ts';
import { type ArmCall, bodyOf, withoutNulls } from './arm-call.ts';
import type { ArmTarget } from './arm-target.ts';
import type { ArmType } from './arm-type.ts';
import { runType, runView } from './run-view.ts';

export type RunTypeParts = {
  readonly database: Database;
  readonly tenantUid: string;
  readonly transfer: TransferLimits;
  readonly builds: {
    readonly runs: Runs;
    readonly addresses: BlobAddresses;
    readonly blobOriginOf: (registry: Resource) => string;
  };
};

const pageLength = 100;
const actionWords = ['cancel', 'listlogsasurl'];

/** Runs: what is asked of them is answered here, as they are no rows of the table of resources. Source: az wire document, 2.19. */
export function registryRunType(parts: RunTypeParts): ArmType {
  // Never called: the words make the addresses known, and `answers` answers them.
  const unwritten = { method: 'POST', isChange: false, run: async () => ({}) } as const;
  return {
    type: runType,
    level: 'child',
    hasLocation: false,
    hasSystemData: false,
    checkName: () => {},
    validate: () => {
      throw new BerthError('unsupported');
    },
    properties: () => ({}),
    actions: Object.fromEntries(actionWords.map((word) => [word, unwritten])),
    answers: (call, target) => answerRuns(parts, call, target),
  };
}

async function answerRuns(parts: RunTypeParts, call: ArmCall, target: ArmTarget): Promise<Response> {
  const { method } = call.c.req;
  switch (target.kind) {
    case 'collection':
      if (method === 'GET') return await list(parts, call, await registryOf(parts, target.scope.id));
      break;
    case 'resource': {
      const found = await known(parts, target.name);
      if (method === 'GET') return call.c.json(runView(found.registry, found.run));
      if (method === 'PATCH') return await update(parts, call, found);
      break;
    }
    case 'action': {
      if (method !== 'POST') break;
      const found = await known(parts, target.name);
      return target.word === 'cancel' ? await cancel(parts, call, found) : logLink(parts, call, found);
    }
  }
  throw new BerthError('unsupported');
}

type Found = { readonly registry: Resource; readonly run: Run };

async function known(parts: RunTypeParts, { parentId, name }: { parentId: string; name: string }): Promise<Found> {
  const registry = await registryOf(parts, parentId);
  const runId = name.toLowerCase();
  const run = isRunId(runId) ? await parts.builds.runs.find(registry.uid, runId) : undefined;
  if (run === undefined)
    throw refuse('runUnknown', {
      message: `The registry '${registry.name}' has no run '${name.slice(0, 100)}'. Runs are kept for 30 days; list them with az acr task list-runs.`,
      target: `${registry.id}/runs/${name.slice(0, 100)}`,
    });
  return { registry, run };
}

async function registryOf({ database, tenantUid }: RunTypeParts, id: string): Promise<Resource> {
  const registry = await findResource(database.read, tenantUid, id);
  if (registry === undefined) throw missing(id);
  return registry;
}

/** At most `$top`, and then no next page: clients would follow it. Newest first. */
async function list(parts: RunTypeParts, { c, rights }: ArmCall, registry: Resource): Promise<Response> {
  if (!rights.allows(`${runType}/read`, registry.id)) return c.json({ value: [] });
  const top = topOf(c.req.query('$top'));
  const filter = parseRunFilter(c.req.query('$filter'));
  const before = c.req.query('$skiptoken');
  const length = top ?? pageLength;
  const runs = length === 0 ? [] : await parts.builds.runs.list(registry.uid, filter, length, before);
  const last = runs.at(-1);
  const hasMore = top === undefined && runs.length === length && last !== undefined;
  return c.json({
    value: runs.map((run) => runView(registry, run)),
    ...(hasMore ? { nextLink: nextLinkOf(c.req.url, c.var.call.origin, last.runId) } : {}),
  });
}

function topOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,6}$/.test(text)) throw refuse('requestInvalid', { message: '$top is a whole number.', target: '$top' });
  return Math.min(Number(text), maxListed);
}

function nextLinkOf(url: string, origin: string, last: string): string {
  const { pathname, searchParams } = new URL(url);
  searchParams.set('$skiptoken', last);
  return `${origin}${pathname}?${searchParams}`;
}

async function update(parts: RunTypeParts, call: ArmCall, { registry, run }: Found): Promise<Response> {
  const body = parseProperties(runUpdateSchema, withoutNulls(await bodyOf(call.c, parts.transfer)), '');
  const isArchiveEnabled = body.isArchiveEnabled ?? body.properties?.isArchiveEnabled;
  if (isArchiveEnabled === undefined) return call.c.json(runView(registry, run));
  const changed = await parts.builds.runs.update(registry.uid, run.runId, { isArchiveEnabled }, call.author.uid);
  return call.c.json(runView(registry, changed));
}

async function cancel(parts: RunTypeParts, call: ArmCall, { registry, run }: Found): Promise<Response> {
  return call.c.json(runView(registry, await parts.builds.runs.cancel(registry.uid, run.runId, call.author.uid)));
}

function logLink({ builds }: RunTypeParts, { c }: ArmCall, { registry, run }: Found): Response {
  const path = `/${blobContainer}/logs/${registry.uid}/${run.runId}.log`;
  const logLink = `${builds.blobOriginOf(registry)}${builds.addresses.sign(path, 'r')}`;
  return c.json({ logLink, logArtifactLink: null }, 200, { 'Cache-Control': 'no-store' });
}
