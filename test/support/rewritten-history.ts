import { createHash } from 'node:crypto';
import type { Database } from '../../src/platform/database/database.ts';

/**
 * What somebody does who knows the chain of the journal and may write to the database: `nobody` did everything in a stream, hashes and
 * all. Only what was signed, or is kept elsewhere, can tell.
 */
export async function rewriteHistory(database: Database, stream: string): Promise<void> {
  const rows = await database.read
    .selectFrom('journal_events')
    .selectAll()
    .where('stream', '=', stream)
    .orderBy('seq')
    .execute();
  let previous = '0'.repeat(64);
  await database.transaction(async (tx) => {
    for (const row of rows) {
      const event = { ...JSON.parse(Buffer.from(row.bytes).toString()), actor: 'nobody', previous };
      const bytes = Buffer.from(JSON.stringify(event));
      previous = createHash('sha256').update(bytes).digest('hex');
      await tx
        .updateTable('journal_events')
        .set({ bytes, hash: previous })
        .where('stream', '=', stream)
        .where('seq', '=', row.seq)
        .execute();
    }
    await tx.updateTable('journal_heads').set({ hash: previous }).where('stream', '=', stream).execute();
  });
}
