import type { Queries, Transaction } from '../../platform/database/database.ts';
import type { JobKind, JobRun } from '../../platform/jobs/jobs.ts';
import type { Log } from '../../platform/log.ts';
import { keptMicros, lookAtAnchors, tellStrays } from './anchors.ts';
import type { CheckpointParts } from './audit-checkpoints.ts';
import { type AuditKeys, isSigned, openAuditKeys, signed } from './audit-keys.ts';
import { type ChainLink, type CheckpointRow, type Gap, linkOf } from './audit-statement.ts';
import { NeededStatements } from './needed-statements.ts';

export type ThinningParts = CheckpointParts & { readonly log: Log };

type Run = Pick<JobRun, 'signal' | 'renew'>;
type Read = ChainLink & { readonly text: string };

const everyMs = 86_400_000;
/** Read at once, and taken out in one transaction. */
const rowsAtOnce = 200;

/**
 * Every ten minutes of every stream is signed for ever, and most of that says nothing that a newer statement does not: those leave, in
 * runs, and in the place of each run comes a gap, signed, that holds the chain together. So nobody else can take one out.
 */
export function thinCheckpointsJob(parts: ThinningParts): JobKind {
  const run = async (job: JobRun) => await thinCheckpoints(parts, job);
  return { kind: 'audit.thin-checkpoints', run, leaseMs: 60_000, maxAttempts: 10, everyMs };
}

/** Lets runs leave step by step. Killed anywhere it leaves a whole chain, and the next one goes on. */
export async function thinCheckpoints(parts: ThinningParts, job: Run): Promise<void> {
  const anchors = await lookAtAnchors(parts);
  tellStrays(parts.log, anchors);
  // What is in the place of one that is gone stays: a gap would hide that it is another.
  const parted = new Set(anchors.filter(({ isStanding }) => !isStanding).map(({ number }) => number));
  const needed = new NeededStatements();
  const oldMicros = parts.clock.nowMicros() - keptMicros;
  let run: Read[] = [];
  for await (const link of newestFirst(parts, job)) {
    const { statement, atMicros, number } = link;
    if (statement !== undefined && (needed.isNeeded(statement) || atMicros >= oldMicros || parted.has(number))) {
      await leave(parts, run);
      run = [];
    } else run.push(link);
    if (run.length >= rowsAtOnce) run = [await merge(parts, run)];
  }
  await leave(parts, run);
}

/** The chain from its end. It ends where one does not fit: that and all before it is not signed over, but stays for `berth audit verify`. */
async function* newestFirst({ database, sealer, log }: ThinningParts, { signal, renew }: Run): AsyncGenerator<Read> {
  const keys = await openAuditKeys(database.read, sealer);
  let after: Read | undefined;
  for (let isMore = true; isMore; ) {
    signal.throwIfAborted();
    const page = await pageBefore(database.read, after?.number);
    for (const row of page) {
      after = fitting(row, after, keys);
      if (after === undefined)
        return log.error('checkpoints stay as they are: one does not fit', { number: row.number });
      yield after;
    }
    await renew();
    isMore = page.length === rowsAtOnce;
  }
}

async function pageBefore(queries: Queries, number = Number.MAX_SAFE_INTEGER): Promise<CheckpointRow[]> {
  return await queries
    .selectFrom('audit_checkpoints')
    .select(['number', 'key_uid', 'statement', 'signature'])
    .where('number', '<', number)
    .orderBy('number', 'desc')
    .limit(rowsAtOnce)
    .execute();
}

/** Undefined where it is not what the one after it (none for the last) has before itself. That holds a statement; a gap is signed or nothing. */
function fitting(row: CheckpointRow, after: Read | undefined, keys: AuditKeys): Read | undefined {
  const link = linkOf(row);
  if (link === undefined) return undefined;
  const isNext = after === undefined || (link.number === after.firstNumber - 1 && link.hash === after.previous);
  const isSure = (after !== undefined && link.statement !== undefined) || isSigned(keys, row);
  return isNext && isSure ? { ...link, text: row.statement } : undefined;
}

/** One in the place of one would save nothing. */
async function leave(parts: ThinningParts, run: readonly Read[]): Promise<void> {
  if (run.length > 1) await merge(parts, run);
}

/** Puts a gap in the place of a run, the newest first. Throws when somebody else is at it too. */
async function merge(parts: ThinningParts, run: readonly Read[]): Promise<Read> {
  const [newest, oldest] = [run[0], run.at(-1)];
  if (newest === undefined || oldest === undefined) throw new TypeError('a run has links');
  const { number, hash } = newest;
  const { firstNumber, previous } = oldest;
  const atMicros = parts.clock.nowMicros();
  const text = JSON.stringify({ number, atMicros, gap: { firstNumber, hash }, previous } satisfies Gap);
  await parts.database.transaction(async (tx) => {
    await takeOut(tx, run, oldest.number, number);
    const place = { number, source: 'checkpoints', stream: '', incarnation: '', seq: firstNumber } as const;
    await tx
      .insertInto('audit_checkpoints')
      .values({ ...place, ...(await signed(tx, parts, text)) })
      .execute();
  });
  return { number, firstNumber, previous, hash, statement: undefined, atMicros, text };
}

async function takeOut(tx: Transaction, run: readonly Read[], first: number, last: number): Promise<void> {
  const rows = await tx
    .deleteFrom('audit_checkpoints')
    .where('number', '>=', first)
    .where('number', '<=', last)
    .returning(['number', 'statement'])
    .execute();
  const texts = new Map(rows.map(({ number, statement }) => [number, statement]));
  if (texts.size !== run.length || run.some((link) => texts.get(link.number) !== link.text))
    throw new Error('the checkpoints are thinned by another process too');
}
