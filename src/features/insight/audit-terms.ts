import { sql } from 'kysely';
import type { Database, Transaction } from '../../platform/database/database.ts';
import type { AuditRecord } from './audit-record.ts';

/** A range of events of a stream, or one batch of accesses. */
export type Piece = {
  readonly source: 'journal' | 'access';
  readonly stream: string;
  readonly incarnation: string;
  readonly firstSeq: number;
  readonly lastSeq: number;
};

/** No piece spans more, so that a page knows how far to look. */
export const longestPieceMicros = 3_600_000_000;

/** Of an identity or repository in a term; longer ones are found by their beginning and then compared. */
const termLength = 300;

/** What records are looked for by. */
export type Subject = Pick<AuditRecord, 'registryUid' | 'operationName' | 'identity' | 'principal' | 'repository'>;

/** A subject that stands for all of the same terms and hour. */
export type Sample = { readonly subject: Subject; readonly firstAtMicros: number; readonly lastAtMicros: number };

/** A term of a piece, and when in it records with it are. */
export type Note = { readonly term: string; readonly first_at: number; readonly last_at: number };

/** Every term of a piece, hour by hour. */
export function notesOf(tenantUid: string, samples: readonly Sample[]): Note[] {
  const hours = Map.groupBy(samples, ({ firstAtMicros }) => hourOf(firstAtMicros));
  return [...hours.values()].flatMap((ofHour) => {
    const first_at = ofHour.reduce(
      (first, { firstAtMicros }) => Math.min(first, firstAtMicros),
      Number.MAX_SAFE_INTEGER,
    );
    const last_at = ofHour.reduce((last, { lastAtMicros }) => Math.max(last, lastAtMicros), 0);
    const terms = new Set(ofHour.flatMap(({ subject }) => termsOf(subject, tenantUid)));
    return [...terms].map((term) => ({ term, first_at, last_at }));
  });
}

export function hourOf(atMicros: number): number {
  return Math.floor(atMicros / longestPieceMicros);
}

/** What a record can be looked for by, within the registry or installation it belongs to. */
function termsOf({ registryUid, identity, principal, operationName, repository }: Subject, tenantUid: string) {
  const scope = registryUid ?? tenantUid;
  return [
    scope,
    termOf(scope, 'o', operationName),
    ...[...new Set([identity, principal])].filter((each) => each !== '').map((each) => termOf(scope, 'i', each)),
    ...(repository === '' ? [] : [termOf(scope, 'r', repository)]),
  ];
}

/** Fit for both databases: names of those who were denied are whatever they sent. */
export function termOf(scope: string, kind: 'i' | 'o' | 'r', value: string): string {
  return `${scope}/${kind}/${value.slice(0, termLength).toWellFormed().replaceAll('\u0000', '\ufffd')}`;
}

/** Writes what was noted of a piece; what is there already stays. One parameter, however many notes there are: a batch may have thousands. */
export async function writeNotes(
  kind: Database['kind'],
  tx: Transaction,
  { source, stream, incarnation, firstSeq, lastSeq }: Piece,
  notes: readonly Note[],
): Promise<void> {
  if (notes.length === 0) return;
  // In the order of the key they are next to each other.
  const sorted = notes.toSorted((a, b) => (a.term < b.term ? -1 : 1));
  const list = JSON.stringify(sorted.map(({ term, first_at, last_at }) => [term, first_at, last_at]));
  const listed = kind === 'sqlite' ? sql`json_each(${list})` : sql`jsonb_array_elements(cast(${list} as jsonb))`;
  await sql`insert into audit_terms (term, first_at, last_at, source, stream, incarnation, first_seq, last_seq)
    select e.value ->> 0, cast(e.value ->> 1 as bigint), cast(e.value ->> 2 as bigint), cast(${source} as text),
      cast(${stream} as text), cast(${incarnation} as text), cast(${firstSeq} as bigint), cast(${lastSeq} as bigint)
    from ${listed} as e where true on conflict do nothing`.execute(tx);
}
