import type { Clock } from '../../platform/clock.ts';
import type { Database } from '../../platform/database/database.ts';
import type { Journal } from '../../platform/journal/journal.ts';
import { AccessBatch, type Needles, type StoredBatch } from './access-batch.ts';
import { indexAccesses } from './audit-index.ts';
import { type AuditCategory, type AuditRecord, recordOfEvent } from './audit-record.ts';
import { longestPieceMicros, type Piece, termOf } from './audit-terms.ts';
import { withNames } from './principal-names.ts';

export type AuditFilter = {
  /** A registry, or the tenant for what belongs to none. */
  readonly scope: string;
  /** Undefined: changes and accesses. */
  readonly source?: Piece['source'] | undefined;
  readonly identity?: string | undefined;
  readonly operationName?: string | undefined;
  readonly repository?: string | undefined;
  readonly category?: AuditCategory | undefined;
  readonly callerIpAddress?: string | undefined;
  readonly resultType?: string | undefined;
  readonly tag?: string | undefined;
  readonly digest?: string | undefined;
  readonly correlationId?: string | undefined;
  /** From this instant on. */
  readonly fromMicros?: number | undefined;
  /** Before this instant. */
  readonly toMicros?: number | undefined;
};

/** Where a page begins: right after (that is, before in time) the record of this time and id. */
export type AuditCursor = { readonly atMicros: number; readonly id: string };

export type AuditPage = {
  /** Newest first. */
  readonly records: readonly AuditRecord[];
  /** Undefined at the end. A page may be short, even empty, and not the last. */
  readonly next: AuditCursor | undefined;
};

export type AuditQueryParts = {
  readonly database: Database;
  readonly journal: Journal;
  readonly clock: Clock;
  readonly tenantUid: string;
};

/** A page ends early rather than take longer: the next one goes on. */
const longestMs = 35;
const piecesAtOnce = 50;
/** So many texts are looked for in a batch at most. */
const mostNamesakes = 16;
/** Batches that are opened before it is known whether they are needed. */
const mostAhead = 3;
/** Batches of the pieces up to each of these are read at once: most pages need the first alone. */
const groupEnds = [1, 4, 16, piecesAtOnce];

type PieceSpan = Piece & { readonly firstAtMicros: number; readonly lastAtMicros: number };

/**
 * One page of the audit, newest first. Reads only pieces of the logs in which the index knows everything that is looked for
 * to occur, one after the other in the order of their ends, and hands out what no unread piece can come before.
 */
export async function auditPage(
  parts: AuditQueryParts,
  filter: AuditFilter,
  { after, limit }: { readonly after?: AuditCursor | undefined; readonly limit: number },
): Promise<AuditPage> {
  const { toMicros = Number.MAX_SAFE_INTEGER } = filter;
  // The index is behind: what it has not come to is noted by whoever asks.
  if (after === undefined && filter.source !== 'journal')
    await indexAccesses(parts).catch(() => {
      // Such as on a full disk: the job tells of it, and what was noted can be read all the same.
    });
  // No id comes before the empty one at the same instant.
  const start = after ?? { atMicros: toMicros, id: '' };
  const search = { filter, start, limit, principals: await principalsOf(parts, filter) };
  const { records, next } = await searchPage(parts, search);
  return { records: await namedAccesses(parts.database, records), next };
}

/** What a page is made of: the filter, where it begins, how long it may be, and who `identity` is. */
type Search = {
  readonly filter: AuditFilter;
  readonly start: AuditCursor;
  readonly limit: number;
  readonly principals: ReadonlySet<string>;
};

async function searchPage(parts: AuditQueryParts, search: Search): Promise<AuditPage> {
  const { filter, start, limit } = search;
  const beganMs = parts.clock.monotonicMs();
  const found = new Map<string, AuditRecord>();
  const ready = (floorMicros: number) =>
    [...found.values()].filter((each) => each.atMicros > floorMicros).sort(newestFirst);
  let below: PieceSpan | undefined;
  while (true) {
    const pieces = await piecesOf(parts, filter, start, below);
    const ahead = new BatchesAhead(parts.database, pieces);
    for (const [at, piece] of pieces.entries()) {
      const enough = ready(piece.lastAtMicros);
      if (enough.length >= limit) return pageOf(enough, limit);
      const isProgress = below !== undefined && piece.lastAtMicros < start.atMicros;
      if (isProgress && parts.clock.monotonicMs() - beganMs > longestMs)
        return { records: enough, next: { atMicros: piece.lastAtMicros, id: lastId } };
      for (const record of await recordsOf(parts, piece, search, () => ahead.open(at))) found.set(record.id, record);
      below = piece;
    }
    if (pieces.length < piecesAtOnce) return pageOf(ready(-1), limit);
  }
}

/** Comes after every id. */
const lastId = '~';

function pageOf(records: readonly AuditRecord[], limit: number): AuditPage {
  const page = records.slice(0, limit);
  const last = page.at(-1);
  const next = records.length > limit && last !== undefined ? { atMicros: last.atMicros, id: last.id } : undefined;
  // With exactly a page there may be more in pieces that were not read.
  if (next === undefined && last !== undefined && records.length === limit)
    return { records: page, next: { atMicros: last.atMicros, id: last.id } };
  return { records: page, next };
}

function newestFirst(a: AuditRecord, b: AuditRecord): number {
  return b.atMicros - a.atMicros || (a.id < b.id ? 1 : -1);
}

function isBehind({ atMicros, id }: AuditRecord, start: AuditCursor): boolean {
  return atMicros < start.atMicros || (atMicros === start.atMicros && id < start.id);
}

/** Pieces that have all that is looked for, the one that ends last first. */
async function piecesOf(
  { database }: AuditQueryParts,
  filter: AuditFilter,
  start: AuditCursor,
  below: PieceSpan | undefined,
): Promise<PieceSpan[]> {
  const [first = filter.scope, ...others] = wantedTerms(filter);
  let query = database.read
    .selectFrom('audit_terms as t')
    .selectAll('t')
    .where('t.term', '=', first)
    .where('t.last_at', '<=', Math.min(start.atMicros + longestPieceMicros, Number.MAX_SAFE_INTEGER))
    .where('t.first_at', '<=', start.atMicros);
  if (filter.source !== undefined) query = query.where('t.source', '=', filter.source);
  if (filter.fromMicros !== undefined) query = query.where('t.last_at', '>=', filter.fromMicros);
  // Looked up piece by piece until the page is full: PostgreSQL would join all pieces of both terms where it is asked whether one exists.
  for (const term of others)
    query = query.where((at) =>
      at(
        at
          .selectFrom('audit_terms as u')
          .select('u.term')
          .where('u.term', '=', term)
          .whereRef('u.last_at', '=', 't.last_at')
          .whereRef('u.source', '=', 't.source')
          .whereRef('u.stream', '=', 't.stream')
          .whereRef('u.incarnation', '=', 't.incarnation')
          .whereRef('u.first_seq', '=', 't.first_seq')
          .limit(1),
        'is not',
        null,
      ),
    );
  if (below !== undefined)
    query = query.where((at) =>
      at(
        at.refTuple('t.last_at', 't.source', 't.stream', 't.incarnation', 't.first_seq'),
        '<',
        at.tuple(below.lastAtMicros, below.source, below.stream, below.incarnation, below.firstSeq),
      ),
    );
  const rows = await query
    .orderBy('t.last_at', 'desc')
    .orderBy('t.source', 'desc')
    .orderBy('t.stream', 'desc')
    .orderBy('t.incarnation', 'desc')
    .orderBy('t.first_seq', 'desc')
    .limit(piecesAtOnce)
    .execute();
  return rows.map((row) => ({
    source: row.source,
    stream: row.stream,
    incarnation: row.incarnation,
    firstSeq: row.first_seq,
    lastSeq: row.last_seq,
    firstAtMicros: row.first_at,
    lastAtMicros: row.last_at,
  }));
}

/** The rarest first: it decides which pieces are looked at. */
function wantedTerms({ scope, repository, identity, operationName }: AuditFilter): string[] {
  return [
    ...(repository === undefined ? [] : [termOf(scope, 'r', repository)]),
    ...(identity === undefined ? [] : [termOf(scope, 'i', identity)]),
    ...(operationName === undefined ? [] : [termOf(scope, 'o', operationName)]),
  ];
}

/** What is wanted of a piece: of a batch no more than a page holds, as the others cannot be on it. */
async function recordsOf(
  parts: AuditQueryParts,
  piece: PieceSpan,
  search: Search,
  open: () => Promise<AccessBatch | undefined>,
): Promise<AuditRecord[]> {
  const isWanted = (record: AuditRecord) => isBehind(record, search.start) && isSought(record, search, parts.tenantUid);
  if (piece.source === 'access') return accessesOf(await open(), piece, search, isWanted);
  const events = await eventsOf(parts.journal, piece);
  // A piece that spans hours is there once for each.
  return events.filter(
    (each) => each.atMicros >= piece.firstAtMicros && each.atMicros <= piece.lastAtMicros && isWanted(each),
  );
}

async function eventsOf(journal: Journal, { stream, incarnation, firstSeq, lastSeq }: Piece): Promise<AuditRecord[]> {
  const events = await journal.after({ stream, incarnation, seq: firstSeq - 1 }, lastSeq - firstSeq + 1);
  return events.filter(({ seq }) => seq <= lastSeq).map(recordOfEvent);
}

function accessesOf(
  batch: AccessBatch | undefined,
  piece: PieceSpan,
  { filter, start, limit, principals }: Search,
  isWanted: (record: AuditRecord) => boolean,
): AuditRecord[] {
  if (batch === undefined) return [];
  const span = {
    firstAtMicros: Math.max(piece.firstAtMicros, filter.fromMicros ?? 0),
    lastAtMicros: Math.min(piece.lastAtMicros, start.atMicros),
  };
  const found: AuditRecord[] = [];
  for (const record of batch.newest(span, needlesOf(filter, principals))) {
    if (isWanted(record)) found.push(record);
    if (found.length >= limit) break;
  }
  return found;
}

/** Batches of a row of pieces: the more were looked at already, the more are read and opened before they are asked for. */
class BatchesAhead {
  readonly #database: Database;
  readonly #pieces: readonly PieceSpan[];
  readonly #read = new Map<number, Promise<ReadonlyMap<string, StoredBatch>>>();
  readonly #opened = new Map<number, Promise<AccessBatch | undefined>>();

  constructor(database: Database, pieces: readonly PieceSpan[]) {
    this.#database = database;
    this.#pieces = pieces;
  }

  /** Undefined when the batch is gone. */
  async open(at: number): Promise<AccessBatch | undefined> {
    for (let next = at; next <= at + Math.min(at, mostAhead); next += 1) this.#begin(next);
    const batch = this.#opened.get(at);
    this.#opened.delete(at);
    return await batch;
  }

  #begin(at: number): void {
    const piece = this.#pieces[at];
    if (piece?.source !== 'access' || this.#opened.has(at)) return;
    const batch = this.#stored(at, piece).then((row) => row && AccessBatch.open(row));
    batch.catch(() => {
      // Told to whoever asks for it, if anybody does.
    });
    this.#opened.set(at, batch);
  }

  async #stored(at: number, { stream, firstSeq }: PieceSpan): Promise<StoredBatch | undefined> {
    const end = groupEnds.find((each) => at < each) ?? at + 1;
    const start = groupEnds.findLast((each) => each <= at) ?? 0;
    const rows = this.#read.get(end) ?? readBatches(this.#database, this.#pieces.slice(start, end), end - start);
    this.#read.set(end, rows);
    return (await rows).get(placeOf(stream, firstSeq));
  }
}

/** Batches of pieces, one query for each stream of them; there are only a few such queries, as a seq may be in one twice. */
async function readBatches({ read }: Database, pieces: readonly PieceSpan[], count: number) {
  const batches = new Map<string, StoredBatch>();
  const ofStreams = Map.groupBy(
    pieces.filter(({ source }) => source === 'access'),
    ({ stream }) => stream,
  );
  for (const [stream, ofStream] of ofStreams) {
    const seqs = Array.from({ length: count }, (_, at) => ofStream[at % ofStream.length]?.firstSeq ?? 0);
    const rows = await read
      .selectFrom('access_batches')
      .select(['seq', 'bytes'])
      .where('stream', '=', stream)
      .where('seq', 'in', seqs)
      .execute();
    for (const { seq, bytes } of rows) batches.set(placeOf(stream, seq), { stream, seq, bytes });
  }
  return batches;
}

function placeOf(stream: string, seq: number): string {
  return `${stream}/${seq}`;
}

/** Texts that a line has somewhere when it is wanted: most lines need not be read then. */
function needlesOf(filter: AuditFilter, principals: ReadonlySet<string>): Needles[] {
  const { identity, repository, callerIpAddress, tag, digest, correlationId } = filter;
  const others = [repository, callerIpAddress, tag, digest, correlationId].flatMap((text) =>
    text === undefined || text === '' ? [] : [[JSON.stringify(text)]],
  );
  // A search each, through the whole batch, without a pause: where many bear the name, every line is read instead.
  if (identity === undefined || principals.size > mostNamesakes) return others;
  return [Array.from(principals, (each) => JSON.stringify(each)), ...others];
}

/** Accesses have the uid of who they are by: those who bear the name, and the text itself. */
async function principalsOf({ database }: AuditQueryParts, { identity, source }: AuditFilter): Promise<Set<string>> {
  if (identity === undefined || source === 'journal') return new Set();
  const named = await database.read
    .selectFrom('principals')
    .select('uid')
    .where('display_name', '=', identity)
    .execute();
  return new Set([identity, ...named.map(({ uid }) => uid)]);
}

function isSought(record: AuditRecord, { filter, principals }: Search, tenantUid: string): boolean {
  const { fromMicros = 0, toMicros = Number.MAX_SAFE_INTEGER, identity } = filter;
  if (record.atMicros < fromMicros || record.atMicros >= toMicros) return false;
  if ((record.registryUid ?? tenantUid) !== filter.scope) return false;
  if (identity !== undefined && record.identity !== identity && record.principal !== identity)
    if (!isAccess(record) || !principals.has(record.principal)) return false;
  return compared.every((column) => filter[column] === undefined || filter[column] === record[column]);
}

function isAccess({ id }: AuditRecord): boolean {
  return id.startsWith('access/');
}

/** Accesses with the names of who they are by; events have theirs. */
async function namedAccesses({ kind, read }: Database, records: readonly AuditRecord[]): Promise<AuditRecord[]> {
  const named = await withNames(kind, read, records.filter(isAccess));
  const byId = new Map(named.map((record) => [record.id, record]));
  return records.map((record) => byId.get(record.id) ?? record);
}

const compared = [
  'operationName',
  'repository',
  'category',
  'callerIpAddress',
  'resultType',
  'tag',
  'digest',
  'correlationId',
] as const;
