import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { z } from 'zod';
import type { Clock } from '../../platform/clock.ts';
import type { Database, Queries, Transaction } from '../../platform/database/database.ts';
import type { Ids } from '../../platform/ids.ts';
import type { JobKind, JobRun } from '../../platform/jobs/jobs.ts';
import type { Sealer } from '../../platform/keys/sealer.ts';
import { listAccessStreams } from './access-streams.ts';

export type CheckpointParts = {
  readonly database: Database;
  readonly clock: Clock;
  readonly ids: Ids;
  readonly sealer: Sealer;
};

/** How far a stream of journal or access log is, and its hash there. */
export type StreamHead = {
  readonly source: 'journal' | 'access';
  readonly stream: string;
  readonly incarnation: string;
  readonly seq: number;
  readonly hash: string;
};

const statementSchema = z.strictObject({
  number: z.int(),
  atMicros: z.int(),
  source: z.enum(['journal', 'access']),
  stream: z.string(),
  incarnation: z.string(),
  seq: z.int(),
  hash: z.string(),
  /** Batches from `firstSeq` to `seq` left the database: for this file of the archive, or for good where `name` is empty. */
  segment: z.strictObject({ firstSeq: z.int(), name: z.string(), sha256: z.string() }).optional(),
  /** SHA-256 of the statement before; zeros for the first. */
  previous: z.string(),
});
export type Statement = z.infer<typeof statementSchema>;

export type CheckpointVerdict =
  | { readonly kind: 'whole'; readonly count: number; readonly statements: readonly Statement[] }
  | { readonly kind: 'broken'; readonly number: number; readonly reason: string };

const everyMs = 600_000;
const firstPrevious = '0'.repeat(64);
const maxStatements = 1_000;

/**
 * Signs how far every stream is and what its hash is there. Who can write to the database but has no master key can then
 * not write its history anew: the signed hashes would not fit. What retention removes is signed too, by who removes it.
 */
export class Checkpoints {
  readonly #parts: CheckpointParts;
  /** How far each stream was signed, by the statements up to a number: there are more of them each day, and they do not change. */
  readonly #signed = new Map<string, number>();
  #lastNumber = 0;

  constructor(parts: CheckpointParts) {
    this.#parts = parts;
  }

  jobKind(): JobKind {
    return { kind: 'audit.checkpoint', run: (job) => this.write(job), leaseMs: 60_000, maxAttempts: 10, everyMs };
  }

  /** One statement for each stream that went on since its last one. */
  async write({ signal }: Pick<JobRun, 'signal'>): Promise<void> {
    for (const head of await this.#headsAhead()) {
      signal.throwIfAborted();
      // Another process that wrote the same number was faster: the next run signs.
      await this.#parts.database.transaction((tx) => appendStatement(tx, this.#parts, head));
    }
  }

  async #headsAhead(): Promise<StreamHead[]> {
    const { read } = this.#parts.database;
    const heads = await read.selectFrom('journal_heads').select(['stream', 'incarnation', 'seq', 'hash']).execute();
    await this.#readSigned();
    const all: StreamHead[] = [
      ...heads.map((head) => ({ source: 'journal' as const, ...head })),
      ...(await accessHeads(read)),
    ];
    return all.filter((head) => head.seq > (this.#signed.get(keyOf(head)) ?? 0));
  }

  /** What was signed since this process last looked, by whichever process. */
  async #readSigned(): Promise<void> {
    const rows = await this.#parts.database.read
      .selectFrom('audit_checkpoints')
      .where('number', '>', this.#lastNumber)
      .select((at) => ['source', 'stream', 'incarnation', at.fn.max('seq').as('seq'), at.fn.max('number').as('number')])
      .groupBy(['source', 'stream', 'incarnation'])
      .execute();
    for (const { number, seq, ...stream } of rows) {
      const key = keyOf(stream);
      this.#signed.set(key, Math.max(seq, this.#signed.get(key) ?? 0));
      this.#lastNumber = Math.max(number, this.#lastNumber);
    }
  }
}

function keyOf({
  source,
  stream,
  incarnation,
}: Pick<Statement, 'stream' | 'incarnation'> & { source: string }): string {
  return `${source} ${stream} ${incarnation}`;
}

/** Signs a statement and adds it to the others; false when another process wrote one of the same number meanwhile. */
export async function appendStatement(
  tx: Transaction,
  parts: Omit<CheckpointParts, 'database'>,
  head: StreamHead & Pick<Statement, 'segment'>,
): Promise<boolean> {
  const { clock, sealer } = parts;
  const last = await tx
    .selectFrom('audit_checkpoints')
    .select(['number', 'statement'])
    .orderBy('number', 'desc')
    .limit(1)
    .executeTakeFirst();
  const key = await signingKey(tx, parts);
  const number = (last?.number ?? 0) + 1;
  const statement = JSON.stringify({
    number,
    atMicros: clock.nowMicros(),
    ...head,
    previous: last === undefined ? firstPrevious : hashOf(last.statement),
  } satisfies Statement);
  const pem = sealer.openText(purposeOf(key.uid), key.sealed_private_key);
  const signature = sign(null, Buffer.from(statement), createPrivateKey(pem)).toString('base64');
  const { source, stream, incarnation, seq } = head;
  const { numInsertedOrUpdatedRows } = await tx
    .insertInto('audit_checkpoints')
    .values({ number, source, stream, incarnation, seq, key_uid: key.uid, statement, signature })
    .onConflict((conflict) => conflict.column('number').doNothing())
    .executeTakeFirstOrThrow();
  return numInsertedOrUpdatedRows === 1n;
}

async function signingKey(tx: Transaction, { clock, ids, sealer }: Omit<CheckpointParts, 'database'>) {
  const known = await tx.selectFrom('audit_keys').selectAll().orderBy('created_at', 'desc').limit(1).executeTakeFirst();
  if (known !== undefined) return known;
  const { publicKey, privateKey } = generateKeyPairSync('ed25519');
  const uid = ids.uid();
  const row = {
    uid,
    public_key: publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    sealed_private_key: sealer.sealText(purposeOf(uid), privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()),
    created_at: clock.nowMicros(),
  };
  await tx.insertInto('audit_keys').values(row).execute();
  return row;
}

/**
 * Reads all checkpoints and checks numbers, signatures and that each follows the one before. The public keys count only where
 * their private half is sealed under the master key: nobody else can have put them there.
 */
export async function verifyCheckpoints({
  database,
  sealer,
}: Pick<CheckpointParts, 'database' | 'sealer'>): Promise<CheckpointVerdict> {
  const keys = new Map<string, KeyObject>();
  for (const { uid, sealed_private_key } of await database.read.selectFrom('audit_keys').selectAll().execute())
    keys.set(uid, createPublicKey(createPrivateKey(sealer.openText(purposeOf(uid), sealed_private_key))));
  const statements: Statement[] = [];
  let previous = firstPrevious;
  while (true) {
    const count = statements.length;
    const page = await pageAfter(database.read, count);
    for (const row of page) {
      const number = statements.length + 1;
      const statement = parseStatement(row.statement);
      const key = keys.get(row.key_uid);
      const reason =
        row.number !== number
          ? 'a checkpoint is missing'
          : key === undefined || !verify(null, Buffer.from(row.statement), key, Buffer.from(row.signature, 'base64'))
            ? 'the signature of the checkpoint is wrong'
            : statement?.number !== number || statement.previous !== previous
              ? 'the checkpoint does not follow the one before it'
              : undefined;
      if (reason !== undefined || statement === undefined)
        return { kind: 'broken', number, reason: reason ?? 'the checkpoint is malformed' };
      statements.push(statement);
      previous = hashOf(row.statement);
    }
    if (page.length < maxStatements) return { kind: 'whole', count: statements.length, statements };
  }
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

async function pageAfter(queries: Queries, number: number) {
  return await queries
    .selectFrom('audit_checkpoints')
    .select(['number', 'key_uid', 'statement', 'signature'])
    .where('number', '>', number)
    .orderBy('number')
    .limit(maxStatements)
    .execute();
}

export function parseStatement(text: string): Statement | undefined {
  try {
    return statementSchema.safeParse(JSON.parse(text)).data;
  } catch {
    // Not JSON: told as malformed.
    return undefined;
  }
}

function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function purposeOf(uid: string): string {
  return `audit-key/${uid}`;
}
