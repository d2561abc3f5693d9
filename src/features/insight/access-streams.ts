import type { Queries } from '../../platform/database/database.ts';

/** A stream of the access log, and its last batch. */
export type AccessStream = { readonly stream: string; readonly seq: number };

/** Every stream of the access log, two looks into its key each: the table itself is as long as the log. */
export async function listAccessStreams(queries: Queries): Promise<AccessStream[]> {
  const streams: AccessStream[] = [];
  for (let after = ''; ; ) {
    const next = await queries
      .selectFrom('access_batches')
      .select('stream')
      .where('stream', '>', after)
      .orderBy('stream')
      .limit(1)
      .executeTakeFirst();
    if (next === undefined) return streams;
    after = next.stream;
    const last = await queries
      .selectFrom('access_batches')
      .select('seq')
      .where('stream', '=', after)
      .orderBy('seq', 'desc')
      .limit(1)
      .executeTakeFirst();
    if (last !== undefined) streams.push({ stream: after, seq: last.seq });
  }
}
