import type { Queries, Transaction } from '../../platform/database/database.ts';
import type { JobKind, JobRun } from '../../platform/jobs/jobs.ts';
import type { Log } from '../../platform/log.ts';
import { listAccessStreams } from './access-streams.ts';
import type { ChainPlace } from './anchor-notes.ts';
import { type AnchorParts, anchorNewest, lookAtAnchors, standingsOf, tellStrays } from './anchors.ts';
import { type AuditKeyParts, openAuditKeys, signed } from './audit-keys.ts';
import { type CheckpointRow, firstPrevious, hashOfStatement, linkOf, type Statement } from './audit-statement.ts';

export type CheckpointParts = AuditKeyParts & AnchorParts;

/** How far a stream of journal or access log is, and its hash there. */
export type StreamHead = Pick<Statement, 'source' | 'stream' | 'incarnation' | 'seq' | 'hash'>;

const everyMs = 600_000;

/**
 * Signs how far every stream is and what its hash is there, and tells the blob store of it. Who can write to the database but has no
 * master key can then not write its history anew: the signed hashes would not fit, and the store knows what was signed last. What
 * retention removes is signed too, by who removes it.
 */
export class Checkpoints {
  readonly #parts: CheckpointParts & { readonly log: Log };
  /** How far each stream was signed, by the statements up to a place: only those leave that newer ones made needless. */
  readonly #signed = new Map<string, number>();
  #last: ChainPlace | undefined;

  constructor(parts: CheckpointParts & { readonly log: Log }) {
    this.#parts = parts;
  }

  jobKind(): JobKind {
    return { kind: 'audit.checkpoint', run: (job) => this.write(job), leaseMs: 60_000, maxAttempts: 10, everyMs };
  }

  /** One statement for each stream that went on since its last one; then the store is told: if that fails, all is signed nevertheless. */
  async write({ signal }: Pick<JobRun, 'signal'>): Promise<void> {
    for (const head of await this.#headsAhead()) {
      signal.throwIfAborted();
      // Another process that wrote the same number was faster: the next run signs.
      await this.#parts.database.transaction((tx) => appendStatement(tx, this.#parts, head));
    }
    const standings = await lookAtAnchors(this.#parts);
    tellStrays(this.#parts.log, standings);
    await anchorNewest(this.#parts, standings);
  }

  async #headsAhead(): Promise<StreamHead[]> {
    const { read } = this.#parts.database;
    const heads = await read.selectFrom('journal_heads').select(['stream', 'incarnation', 'seq', 'hash']).execute();
    await this.#readSigned();
    const all: StreamHead[] = [
      ...heads.map((head) => ({ source: 'journal' as const, ...head })),
      ...(await accessHeads(read)),
    ];
    this.#forgetAllBut(new Set(all.map(streamKeyOf)));
    return all.filter((head) => head.seq > (this.#signed.get(streamKeyOf(head)) ?? 0));
  }

  /** Each process that ends leaves a stream that is gone some day. */
  #forgetAllBut(streams: ReadonlySet<string>): void {
    for (const stream of this.#signed.keys()) if (!streams.has(stream)) this.#signed.delete(stream);
  }

  /** What was signed since this process last looked, by whichever process. */
  async #readSigned(): Promise<void> {
    const { read } = this.#parts.database;
    const last = await lastPlace(read);
    await this.#forgetWhatIsGone(last);
    const rows = await read
      .selectFrom('audit_checkpoints')
      .where('number', '>', this.#last?.number ?? 0)
      .select((at) => ['source', 'stream', 'incarnation', at.fn.max('seq').as('seq')])
      .groupBy(['source', 'stream', 'incarnation'])
      .execute();
    for (const { seq, ...stream } of rows) {
      const key = streamKeyOf(stream);
      this.#signed.set(key, Math.max(seq, this.#signed.get(key) ?? 0));
    }
    this.#last = last;
  }

  /** What a database that failed over lost is signed again, also where others have signed further meanwhile. */
  async #forgetWhatIsGone(lastFound: ChainPlace | undefined): Promise<void> {
    const { database, sealer, log } = this.#parts;
    const known = this.#last;
    if (known === undefined) return;
    const [standing] = await standingsOf(database.read, await openAuditKeys(database.read, sealer), [known]);
    if (standing?.isStanding === true) return;
    log.error('signed checkpoints are gone: the database was put back, or somebody cut them off', {
      lastSigned: known.number,
      lastFound: lastFound?.number ?? 0,
    });
    this.#signed.clear();
    this.#last = undefined;
  }
}

/** Undefined before the first checkpoint, and where the last one is malformed. */
async function lastPlace(queries: Queries): Promise<ChainPlace | undefined> {
  const row = await lastRow(queries);
  const link = row && linkOf(row);
  return link && { number: link.number, hash: link.hash };
}

async function lastRow(queries: Queries): Promise<Pick<CheckpointRow, 'number' | 'statement'> | undefined> {
  return await queries
    .selectFrom('audit_checkpoints')
    .select(['number', 'statement'])
    .orderBy('number', 'desc')
    .limit(1)
    .executeTakeFirst();
}

export function streamKeyOf({
  source,
  stream,
  incarnation,
}: Pick<Statement, 'stream' | 'incarnation'> & { readonly source: string }): string {
  return `${source} ${stream} ${incarnation}`;
}

/** Signs a statement and adds it to the others; false when another process wrote one of the same number meanwhile. */
export async function appendStatement(
  tx: Transaction,
  parts: AuditKeyParts,
  head: StreamHead & Pick<Statement, 'segment'>,
): Promise<boolean> {
  const last = await lastRow(tx);
  const number = (last?.number ?? 0) + 1;
  const statement = JSON.stringify({
    number,
    atMicros: parts.clock.nowMicros(),
    ...head,
    // Of a gap it is not the hash of its own text.
    previous: last === undefined ? firstPrevious : (linkOf(last)?.hash ?? hashOfStatement(last.statement)),
  } satisfies Statement);
  const { source, stream, incarnation, seq } = head;
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('audit_checkpoints')
    .values({ number, source, stream, incarnation, seq, ...(await signed(tx, parts, statement)) })
    .onConflict((conflict) => conflict.column('number').doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows === 1n;
}

/** The last batch of each process that wrote accesses. */
export async function accessHeads(queries: Queries): Promise<StreamHead[]> {
  const heads: StreamHead[] = [];
  for (const { stream, seq } of await listAccessStreams(queries)) {
    const row = await queries
      .selectFrom('access_batches')
      .select('hash')
      .where('stream', '=', stream)
      .where('seq', '=', seq)
      .executeTakeFirst();
    // Gone into the archive meanwhile.
    if (row !== undefined) heads.push({ source: 'access', stream, incarnation: '', seq, hash: row.hash });
  }
  return heads;
}
