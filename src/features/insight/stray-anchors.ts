import { type ChainPlace, readAnchor } from './anchor-notes.ts';
import { type AnchorParts, lookAtAnchors, standingsOf } from './anchors.ts';
import { streamKeyOf } from './audit-checkpoints.ts';
import { isSigned, openAuditKeys } from './audit-keys.ts';
import { type CheckpointRow, linkOf, type Statement } from './audit-statement.ts';

/** Checkpoints that the blob store was told of and the database has no longer, or has others in their place. */
export type StrayAnchors = {
  readonly places: readonly ChainPlace[];
  /** Numbers of the first that is gone, as far as the store can tell, and of the last that the store was told of. */
  readonly first: number;
  readonly last: number;
  /** When the first was signed, where the store still says so. */
  readonly firstAtMicros: number | undefined;
  /** What they said, signed: the first and the last of each stream, and every removal. */
  readonly statements: readonly Statement[];
};

/** Undefined where the database has everything that the store was told of. */
export async function findStrayAnchors(parts: AnchorParts): Promise<StrayAnchors | undefined> {
  const places = (await lookAtAnchors(parts)).filter(({ isStanding }) => !isStanding);
  const [first, last] = [places[0], places.at(-1)];
  if (first === undefined || last === undefined) return undefined;
  const gone = await firstGone(parts, first);
  return {
    places,
    first: gone.number,
    last: last.number,
    firstAtMicros: gone.atMicros,
    statements: await statementsIn(parts, places),
  };
}

/** The first that is gone of those that the store was given together; an earlier one where the chain ends before them. */
async function firstGone(
  { database: { read }, sealer, notes }: AnchorParts,
  place: ChainPlace,
): Promise<{ readonly number: number; readonly atMicros: number | undefined }> {
  const links = (await readAnchor(notes, place)).map(linkOf).filter((link) => link !== undefined);
  const standings = await standingsOf(read, await openAuditKeys(read, sealer), links);
  const gone = standings.find(({ isStanding }) => !isStanding) ?? place;
  const end = await read
    .selectFrom('audit_checkpoints')
    .select((at) => at.fn.max('number').as('number'))
    .executeTakeFirst();
  const next = (end?.number ?? 0) + 1;
  if (next < gone.number) return { number: next, atMicros: undefined };
  return { number: gone.number, atMicros: links.find(({ number }) => number === gone.number)?.atMicros };
}

/** There may be a thousand of each stream: its first and last tell most. */
async function statementsIn(
  { database: { read }, sealer, notes }: AnchorParts,
  places: readonly ChainPlace[],
): Promise<Statement[]> {
  const keys = await openAuditKeys(read, sealer);
  const statementOf = (row: CheckpointRow) => (isSigned(keys, row) ? linkOf(row)?.statement : undefined);
  const firsts = new Map<string, Statement>();
  const lasts = new Map<string, Statement>();
  const removals: Statement[] = [];
  for (const place of places)
    for (const statement of (await readAnchor(notes, place)).map(statementOf)) {
      if (statement === undefined) continue;
      const key = streamKeyOf(statement);
      if (statement.segment !== undefined) removals.push(statement);
      else if (firsts.has(key)) lasts.set(key, statement);
      else firsts.set(key, statement);
    }
  return [...firsts.values(), ...lasts.values(), ...removals];
}
