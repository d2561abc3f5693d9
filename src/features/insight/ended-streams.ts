import type { Database, Queries } from '../../platform/database/database.ts';
import type { JobKind, JobRun } from '../../platform/jobs/jobs.ts';
import { listAccessStreams } from './access-streams.ts';
import { accessConsumer } from './audit-index.ts';

const everyMs = 3_600_000;

type Parts = { readonly database: Database };

/**
 * Every process that starts has a stream of accesses of its own, and everybody who reads the access log keeps a place in it. When
 * retention has removed its last batch the places leave too. Should the stream go on after all, the next batch is the first behind no
 * place at all: the same as before.
 */
export function endedStreamsJob(parts: Parts): JobKind {
  const run = async (job: JobRun) => await forgetEndedStreams(parts, job);
  return { kind: 'audit.ended-streams', run, leaseMs: 60_000, maxAttempts: 10, everyMs };
}

export async function forgetEndedStreams({ database }: Parts, job: Pick<JobRun, 'signal' | 'renew'>): Promise<void> {
  const known = await knownStreams(database.read);
  // After it: a stream that begins in between is among these.
  const standing = new Set((await listAccessStreams(database.read)).map(({ stream }) => stream));
  for (const stream of known) {
    if (standing.has(stream)) continue;
    job.signal.throwIfAborted();
    await forget(database, stream);
    await job.renew();
  }
}

/** Of which somebody keeps a place. */
async function knownStreams(queries: Queries): Promise<ReadonlySet<string>> {
  const sent = await queries
    .selectFrom('diagnostic_cursors')
    .select('stream')
    .distinct()
    .where('source', '=', 'access')
    .execute();
  const noted = await queries
    .selectFrom('journal_cursors')
    .select('stream')
    .where('consumer', '=', accessConsumer)
    .execute();
  return new Set([...sent, ...noted].map(({ stream }) => stream));
}

async function forget(database: Database, stream: string): Promise<void> {
  await database.transaction(async (tx) => {
    // It may have gone on meanwhile.
    const batch = tx.selectFrom('access_batches').select('seq').where('stream', '=', stream);
    await tx
      .deleteFrom('diagnostic_cursors')
      .where('source', '=', 'access')
      .where('stream', '=', stream)
      .where(({ not, exists }) => not(exists(batch)))
      .execute();
    await tx
      .deleteFrom('journal_cursors')
      .where('consumer', '=', accessConsumer)
      .where('stream', '=', stream)
      .where(({ not, exists }) => not(exists(batch)))
      .execute();
  });
}
