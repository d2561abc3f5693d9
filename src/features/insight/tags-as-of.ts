import { setImmediate as breathe } from 'node:timers/promises';
import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Journal, JournalEvent } from '../../platform/journal/journal.ts';
import type { Turns } from '../../platform/turns.ts';
import type { Authority } from '../access/authority.ts';
import type { Locks } from '../content/attributes.ts';
import type { Place } from '../content/place.ts';
import { fromRepository } from '../content/repository-store.ts';
import { auditConsumer } from './audit-index.ts';
import { type AuditCursor, auditPage } from './audit-query.ts';
import { type AuditRecord, recordOfEvent } from './audit-record.ts';

export type AsOfParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly tenantUid: string;
  /** Looking back costs as much as has changed since: few do it at once. */
  readonly lookBacks: Turns;
};

const moves = ['Tag', 'Untag', 'Delete'] as const;
const maxChanges = 50_000;
/** Of those who show no credentials: what they ask for costs them nothing. */
const maxChangesOfStrangers = 2_000;
/** The embedded database answers at once: other requests come between the pages. */
const pageRecords = 200;
const pageEvents = 200;
const pageTags = 5_000;

/** Of a process. */
export const lookBackLimits = { running: 1, waiting: 16, retryAfterSeconds: 5 };

export type TagsAsOf = {
  /** What each tag pointed to. */
  readonly digests: ReadonlyMap<string, string>;
  /** Of the tags there are now: locks have no history. */
  readonly locks: ReadonlyMap<string, Locks>;
};

/**
 * The tags of a repository as they were at an instant, with the digests they pointed to: the present ones, and every change
 * since taken back. Costs as much as has changed since. Empty for a repository that was not there. Confirms the caller's
 * authority first. Throws `requestInvalid` when that is too much, `tooManyRequests` when too many look back.
 */
export async function tagsAsOf(
  parts: AsOfParts,
  place: Place,
  authority: Authority,
  atMicros: number,
): Promise<TagsAsOf> {
  const repositoryUid = await confirmed(parts.database, place, authority);
  return await parts.lookBacks.run(async () => {
    const most = authority.principal.kind === 'anonymous' ? maxChangesOfStrangers : maxChanges;
    // First: a change that comes in between is taken back too.
    const present = await presentTags(parts.database, repositoryUid);
    const digests = new Map(present.map(({ name, digest }) => [name, digest]));
    // The tail before the index: what the index comes to in between is then in both.
    const tail = await unindexed(parts, place, most);
    const changes = [...tail, ...(await indexed(parts, place, atMicros, most))];
    const after = new Map(changes.map((record) => [record.id, record])).values();
    const newestFirst = [...after]
      .filter((record) => record.atMicros > atMicros && record.repository === place.repository)
      .sort((a, b) => b.atMicros - a.atMicros);
    for (const change of newestFirst) takeBack(digests, change);
    return { digests, locks: new Map(present.map(({ name, locks }) => [name, locks])) };
  });
}

function takeBack(tags: Map<string, string>, { operationName, tag, digest, previous }: AuditRecord): void {
  switch (operationName) {
    case 'Tag':
      if (previous === '') tags.delete(tag);
      else tags.set(tag, previous);
      break;
    case 'Untag':
      tags.set(tag, digest);
      break;
    case 'Delete':
      for (const each of tag.split(' ')) if (each !== '') tags.set(each, digest);
      break;
  }
}

/** The repository's uid, or a text no repository has: one that is gone had tags, too. */
async function confirmed(
  { read }: Database,
  { registryUid, repository }: Place,
  authority: Authority,
): Promise<string> {
  const row = await fromRepository(read, { registry: registryUid, repository }).select('r.uid').executeTakeFirst();
  if (row === undefined) throw new BerthError('registryUnknown');
  await authority.confirm(row.epoch);
  return row.uid ?? '';
}

async function presentTags({ read }: Database, repositoryUid: string) {
  const tags: { readonly name: string; readonly digest: string; readonly locks: Locks }[] = [];
  while (true) {
    const page = await read
      .selectFrom('tags')
      .where('repository_uid', '=', repositoryUid)
      .where('name', '>', tags.at(-1)?.name ?? '')
      .orderBy('name')
      .limit(pageTags)
      .select(['name', 'digest', 'locks'])
      .execute();
    tags.push(...page);
    if (page.length < pageTags) return tags;
    await breathe();
  }
}

/** Changes that the index of the audit knows. Each kind by itself: the pulls in between are not even looked at. */
async function indexed(parts: AsOfParts, place: Place, atMicros: number, most: number): Promise<AuditRecord[]> {
  const records: AuditRecord[] = [];
  for (const operationName of moves) {
    const filter = {
      scope: place.registryUid,
      source: 'journal',
      repository: place.repository,
      operationName,
      fromMicros: atMicros + 1,
    } as const;
    let after: AuditCursor | undefined;
    do {
      const page = await auditPage(parts, filter, { after, limit: pageRecords });
      records.push(...page.records);
      if (records.length > most) throw tooFarBack(most);
      after = page.next;
      await breathe();
    } while (after !== undefined);
  }
  return records;
}

function tooFarBack(most: number): BerthError {
  return new BerthError('requestInvalid', {
    asOf: `more than ${most} tags of the repository have moved since: ask for a later instant, or look into the audit`,
  });
}

/** Changes that it has not come to yet: the last second or two. */
async function unindexed(
  { database, journal }: AsOfParts,
  { registryUid }: Place,
  most: number,
): Promise<AuditRecord[]> {
  const start = `registry/${registryUid}/`;
  const cursors = await database.read
    .selectFrom('journal_heads as head')
    .leftJoin('journal_cursors as cursor', (join) =>
      join
        .onRef('cursor.stream', '=', 'head.stream')
        .onRef('cursor.incarnation', '=', 'head.incarnation')
        .on('cursor.consumer', '=', auditConsumer),
    )
    .where('head.stream', '>=', start)
    // '0' is the character after '/'.
    .where('head.stream', '<', `${start.slice(0, -1)}0`)
    .select(['head.stream', 'head.incarnation', 'cursor.seq'])
    .execute();
  const events: JournalEvent[] = [];
  for (const { stream, incarnation, seq } of cursors) {
    let page: JournalEvent[];
    let after = seq ?? 0;
    do {
      page = await journal.after({ stream, incarnation, seq: after }, pageEvents);
      events.push(...page);
      if (events.length > most) throw tooFarBack(most);
      await breathe();
      after = page.at(-1)?.seq ?? after;
    } while (page.length === pageEvents);
  }
  return events.map(recordOfEvent);
}
