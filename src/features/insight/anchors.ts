import type { StoreNotes } from '../../platform/blob-store/store-notes.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries } from '../../platform/database/database.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import type { Log } from '../../platform/log.ts';
import { type ChainPlace, listAnchors, removeAnchors, writeAnchor } from './anchor-notes.ts';
import { type AuditKeys, isSigned, openAuditKeys } from './audit-keys.ts';
import { type CheckpointRow, linkOf } from './audit-statement.ts';

export type AnchorParts = {
  readonly database: Database;
  readonly sealer: Sealer;
  /** Beside the blobs: who can write to the database alone cannot take anything out of there. */
  readonly notes: StoreNotes;
};

/** What the database has of a place that the chain once had. */
export type Standing = ChainPlace & {
  readonly isStanding: boolean;
  /** When it was signed; undefined where the database says no more than that it was there. */
  readonly atMicros: number | undefined;
};

/** So long the database keeps every checkpoint, and the store what it was told of them. */
export const keptMicros = 7 * 86_400_000_000;
/** The newest that are kept together: what goes wrong further back than these is told without the name of its logs. */
const rowsAtOnce = 200;
const placesAtOnce = 100;

/**
 * What the store was told of the chain of checkpoints, each with whether the database still has it. The newest alone holds all before it,
 * as each has the hash of the one before; none of them can be made to fit by who has no master key.
 */
export async function lookAtAnchors({ database: { read }, sealer, notes }: AnchorParts): Promise<Standing[]> {
  // In this order: the store is told of what the database has.
  const places = await listAnchors(notes);
  return await standingsOf(read, await openAuditKeys(read, sealer), places);
}

/** Whether the database has each of these places: as itself, or within a gap that was signed. */
export async function standingsOf(
  queries: Queries,
  keys: AuditKeys,
  places: readonly ChainPlace[],
): Promise<Standing[]> {
  const standings: Standing[] = [];
  for (let start = 0; start < places.length; start += placesAtOnce) {
    const some = places.slice(start, start + placesAtOnce);
    const numbers = some.map(({ number }) => number);
    const rows = await checkpoints(queries).where('number', 'in', numbers).execute();
    const byNumber = new Map(rows.map((row) => [row.number, row]));
    for (const place of some)
      standings.push(standingOf(place, byNumber.get(place.number) ?? (await rowAfter(queries, place.number)), keys));
  }
  return standings;
}

/** `row` is the first that is not before the place. */
function standingOf(place: ChainPlace, row: CheckpointRow | undefined, keys: AuditKeys): Standing {
  const gone: Standing = { ...place, isStanding: false, atMicros: undefined };
  const link = row && linkOf(row);
  if (row === undefined || link === undefined || link.firstNumber > place.number) return gone;
  if (link.number === place.number && link.hash !== place.hash) return gone;
  if (link.statement !== undefined) return { ...place, isStanding: true, atMicros: link.atMicros };
  // Anybody who can write rows can write a gap.
  return isSigned(keys, row) ? { ...place, isStanding: true, atMicros: undefined } : gone;
}

/** Says in the log what the database has no longer. */
export function tellStrays(log: Log, standings: readonly Standing[]): void {
  const strays = standings.filter(({ isStanding }) => !isStanding);
  const [first, last] = [strays[0], strays.at(-1)];
  if (first === undefined || last === undefined) return;
  log.error(
    'signed checkpoints that the blob store has kept are not in the database: an older one was put back, or somebody cut them off; ' +
      'see berth audit verify',
    { firstKept: first.number, lastKept: last.number, kept: strays.length },
  );
}

/**
 * Tells the store of the newest checkpoints, and lets go of what it needs no longer. Killed between the signing and this, the next run does
 * it. Two at once write the same, or each what is true.
 */
export async function anchorNewest(
  parts: AnchorParts & { readonly clock: Clock; readonly log: Log },
  standings: readonly Standing[],
): Promise<void> {
  const { database, sealer, notes, clock, log } = parts;
  const standing = standings.filter(({ isStanding }) => isStanding);
  const last = standing.at(-1);
  const rows = await newestAfter(database.read, last?.number ?? 0);
  const newest = rows.at(-1);
  const link = newest && linkOf(newest);
  if (newest !== undefined) {
    if (link === undefined || !isSigned(await openAuditKeys(database.read, sealer), newest))
      return log.error('the newest checkpoint is not one that was signed: the blob store is not told of it', {
        number: newest.number,
      });
    await writeAnchor(notes, { number: link.number, hash: link.hash }, rows);
  }
  const oldMicros = clock.nowMicros() - keptMicros;
  const old = standing.filter(({ atMicros }) => (atMicros ?? 0) < oldMicros);
  await removeAnchors(notes, newest === undefined ? old.filter((place) => place !== last) : old);
}

function checkpoints(queries: Queries) {
  return queries.selectFrom('audit_checkpoints').select(['number', 'key_uid', 'statement', 'signature']);
}

async function rowAfter(queries: Queries, number: number): Promise<CheckpointRow | undefined> {
  return await checkpoints(queries).where('number', '>', number).orderBy('number').limit(1).executeTakeFirst();
}

async function newestAfter(queries: Queries, number: number): Promise<CheckpointRow[]> {
  const rows = await checkpoints(queries)
    .where('number', '>', number)
    .orderBy('number', 'desc')
    .limit(rowsAtOnce)
    .execute();
  return rows.toReversed();
}
