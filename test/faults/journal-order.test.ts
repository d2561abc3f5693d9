import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import type { Database } from '../../src/platform/database/database.ts';
import { createJournal } from '../../src/platform/journal/create-journal.ts';
import type { JournalEvent } from '../../src/platform/journal/journal.ts';
import { runConsumer } from '../../src/platform/journal/run-consumer.ts';
import { verifyChain } from '../../src/platform/journal/verify-chain.ts';
import { createLog } from '../../src/platform/log.ts';
import { systemClock } from '../../src/platform/system-clock.ts';
import { systemIds } from '../../src/platform/system-ids.ts';
import { forEachDatabase } from '../support/databases.ts';
import { onPostgres } from '../support/postgres.ts';
import { waitFor } from '../support/wait-for.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const streams = ['registry/a/home', 'registry/b/home', 'tenant/t'];
const writers = 8;
const runMs = 4_000;

const journalOf = (database: Database) => createJournal({ database, clock: systemClock, ids: systemIds });

/** Writes to one or two streams at a time until told to stop; returns what was confirmed. */
async function write(database: Database, writer: number, isOver: () => boolean): Promise<Set<string>> {
  const journal = journalOf(database);
  const confirmed = new Set<string>();
  for (let number = 0; !isOver(); number += 1) {
    const names = [streams[(writer + number) % 3] ?? '', ...(number % 4 === 0 ? [streams[writer % 3] ?? ''] : [])];
    const labels = names.map((_, index) => `${writer}/${number}/${index}`);
    try {
      await journal.transaction(async (tx, append) => {
        for (const [index, stream] of names.entries())
          append({ stream, type: 'tag.pushed', version: 1, actor: 'tester', data: { label: labels[index] } });
        if (number % 5 === 0) await sql`select pg_sleep(0.005)`.execute(tx);
      });
      for (const label of labels) confirmed.add(label);
    } catch {
      // Whether a commit whose connection was lost has happened, nobody knows: it may be there.
    }
  }
  return confirmed;
}

/** Ends connections of the database at random. */
async function kill(url: string, isOver: () => boolean): Promise<number> {
  return await onPostgres(url, async (client) => {
    let killed = 0;
    while (!isOver()) {
      await sleep(40);
      const { rowCount } = await client.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and pid <> pg_backend_pid() and state <> 'idle' order by random() limit 1`,
      );
      killed += rowCount ?? 0;
    }
    return killed;
  });
}

forEachDatabase((kind, open, placeOf) => {
  if (kind !== 'postgres') return;
  test('eight writers whose connections are killed: a consumer skips nothing and sees nothing out of order', async () => {
    const first = await open();
    const databases = [first, ...(await Promise.all([1, 2, 3].map(() => open({ again: first }))))];
    const seen = new Map<string, JournalEvent[]>(streams.map((stream) => [stream, []]));
    const stop = new AbortController();
    const consuming = runConsumer({
      database: databases[3] ?? first,
      journal: journalOf(databases[3] ?? first),
      clock: systemClock,
      log,
      name: 'order',
      follows: () => true,
      handle: async (events) => {
        for (const event of events) seen.get(event.stream)?.push(event);
      },
      signal: stop.signal,
    });
    const endMs = performance.now() + runMs;
    const isOver = () => performance.now() > endMs;
    const killing = kill(placeOf(first).location, isOver);
    const confirmed = await Promise.all(
      Array.from({ length: writers }, (_, writer) => write(databases[writer % 3] ?? first, writer, isOver)),
    );
    assert.ok((await killing) > 0, 'connections were killed');

    const journal = journalOf(first);
    const heads = await Promise.all(streams.map((stream) => journal.head(stream)));
    await waitFor('the consumer has come to the heads', 120_000, () =>
      heads.every((head) => (seen.get(head.stream)?.at(-1)?.seq ?? 0) === head.seq),
    );
    stop.abort();
    await consuming;

    const labels = new Set<string>();
    for (const [stream, events] of seen) {
      let last = 0;
      for (const event of events) {
        // Again is allowed (its cursor may be lost with a connection), a gap is not.
        assert.ok(event.seq <= last + 1, `${stream}: ${event.seq} after ${last}`);
        last = Math.max(last, event.seq);
        labels.add(String(event.data.label));
      }
    }
    for (const label of confirmed.flatMap((set) => [...set])) assert.ok(labels.has(label), `${label} was confirmed`);
    for (const head of heads) assert.equal((await verifyChain(first, head)).kind, 'whole');
  });
});
