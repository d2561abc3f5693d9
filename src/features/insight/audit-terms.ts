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
export type NoteOfPiece = Note & { readonly piece: Piece };

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

/** In the order of the key, in which those of one term are next to each other. */
export function byTerm(a: Note, b: Note): number {
  return a.term < b.term ? -1 : a.term > b.term ? 1 : a.last_at - b.last_at;
}

/** Writes notes of pieces; what is there already stays. One parameter, however many notes there are. */
export async function writeNotes(
  kind: Database['kind'],
  tx: Transaction,
  notes: readonly NoteOfPiece[],
): Promise<void> {
  const list = JSON.stringify(notes.map(rowOf));
  const listed = kind === 'sqlite' ? sql`json_each(${list})` : sql`jsonb_array_elements(cast(${list} as jsonb))`;
  await sql`insert into audit_terms (term, first_at, last_at, source, stream, incarnation, first_seq, last_seq)
    select e.value ->> 0, cast(e.value ->> 1 as bigint), cast(e.value ->> 2 as bigint), e.value ->> 3, e.value ->> 4,
      e.value ->> 5, cast(e.value ->> 6 as bigint), cast(e.value ->> 7 as bigint)
    from ${listed} as e where true on conflict do nothing`.execute(tx);
}

function rowOf({ term, first_at, last_at, piece }: NoteOfPiece) {
  const { source, stream, incarnation, firstSeq, lastSeq } = piece;
  return [term, first_at, last_at, source, stream, incarnation, firstSeq, lastSeq];
}
