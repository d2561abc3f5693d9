import { BerthError } from '../../core/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Journal, JournalEvent } from '../../platform/journal/journal.ts';
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
};

const moves = ['Tag', 'Untag', 'Delete'] as const;
const maxChanges = 50_000;
const pageRecords = 1_000;
const pageEvents = 500;

export type TagsAsOf = {
  /** What each tag pointed to. */
  readonly digests: ReadonlyMap<string, string>;
  /** Of the tags there are now: locks have no history. */
  readonly locks: ReadonlyMap<string, Locks>;
};

/**
 * The tags of a repository as they were at an instant, with the digests they pointed to: the present ones, and every change
 * since taken back. Costs as much as has changed since. Empty for a repository that was not there. Confirms the caller's
 * authority first. Throws `requestInvalid` when that is too much.
 */
export async function tagsAsOf(
  parts: AsOfParts,
  place: Place,
  authority: Authority,
  atMicros: number,
): Promise<TagsAsOf> {
  const repositoryUid = await confirmed(parts.database, place, authority);
  // First: a change that comes in between is taken back too.
  const present = await presentTags(parts.database, repositoryUid);
  const digests = new Map(present.map(({ name, digest }) => [name, digest]));
  // The tail before the index: what the index comes to in between is then in both.
  const tail = await unindexed(parts, place);
  const changes = [...tail, ...(await indexed(parts, place, atMicros))];
  const after = new Map(changes.map((record) => [record.id, record])).values();
  const newestFirst = [...after]
    .filter((record) => record.atMicros > atMicros && record.repository === place.repository)
    .sort((a, b) => b.atMicros - a.atMicros);
  for (const change of newestFirst) takeBack(digests, change);
  return { digests, locks: new Map(present.map(({ name, locks }) => [name, locks])) };
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
  return await read
    .selectFrom('tags')
    .where('repository_uid', '=', repositoryUid)
    .select(['name', 'digest', 'locks'])
    .execute();
}

/** Changes that the index of the audit knows. Each kind by itself: the pulls in between are not even looked at. */
async function indexed(parts: AsOfParts, place: Place, atMicros: number): Promise<AuditRecord[]> {
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
      if (records.length > maxChanges) throw tooFarBack();
      after = page.next;
    } while (after !== undefined);
  }
  return records;
}

function tooFarBack(): BerthError {
  return new BerthError('requestInvalid', {
    asOf: `more than ${maxChanges} tags of the repository have moved since: ask for a later instant, or look into the audit`,
  });
}

/** Changes that it has not come to yet: the last second or two. */
async function unindexed({ database, journal }: AsOfParts, { registryUid }: Place): Promise<AuditRecord[]> {
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
      if (events.length > maxChanges) throw tooFarBack();
      after = page.at(-1)?.seq ?? after;
    } while (page.length === pageEvents);
  }
  return events.map(recordOfEvent);
}
