import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, test } from 'node:test';
import { type DatabasePlace, forEachDatabase } from '../../../test/support/databases.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { createLog } from '../log.ts';
import { systemClock } from '../system-clock.ts';
import { systemIds } from '../system-ids.ts';
import { createJournal } from './create-journal.ts';
import type { Journal, JournalEvent } from './journal.ts';
import { runConsumer } from './run-consumer.ts';

const log = createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' });
const folder = temporaryFolder('consumer');
after(() => folder.remove());

async function append(journal: Journal, stream: string, count: number): Promise<void> {
  await journal.transaction(async (_tx, add) => {
    for (let number = 0; number < count; number++)
      add({ stream, type: 'tag.pushed', version: 1, actor: 'tester', data: { number } });
  });
}

const patienceMs = 120_000;
const consumers: (() => Promise<void>)[] = [];
const children: ChildProcess[] = [];

async function stopAll(): Promise<void> {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  await Promise.all(consumers.splice(0).map((stop) => stop()));
}

function consume(
  database: Database,
  journal: Journal,
  handle: (events: readonly JournalEvent[]) => Promise<void>,
  clock: Clock = systemClock,
) {
  const stop = new AbortController();
  const ended = runConsumer({
    database,
    journal,
    clock,
    log,
    name: 'test',
    follows: (stream) => stream.startsWith('registry/'),
    handle,
    signal: stop.signal,
  });
  const end = async () => {
    stop.abort();
    await ended;
  };
  consumers.push(end);
  return end;
}

const numbered = (count: number, from = 1) => Array.from({ length: count }, (_, index) => from + index);

forEachDatabase((_name, open, placeOf) => {
  // Also after a failure, so that the process can end.
  afterEach(stopAll);

  test('a consumer gets every event of its streams in order, and goes on where it stopped', async () => {
    const database = await open();
    const journal = createJournal({ database, clock: systemClock, ids: systemIds });
    const seen: number[] = [];
    const note = async (events: readonly JournalEvent[]) => {
      seen.push(...events.map((event) => event.seq));
    };
    await append(journal, 'registry/a', 250);
    await append(journal, 'tenant/t', 1);
    const stop = consume(database, journal, note);
    await waitFor('old events', patienceMs, () => seen.length === 250);
    await append(journal, 'registry/a', 3);
    await waitFor('new events', patienceMs, () => seen.length === 253);

    await stop();
    await append(journal, 'registry/a', 2);
    const stopAgain = consume(database, journal, note);
    await waitFor('events after a restart', patienceMs, () => seen.length === 255);
    await stopAgain();
    assert.deepEqual(seen, numbered(255));
  });

  test('a stream whose event cannot be handled is tried again later and holds up no other', async () => {
    const database = await open();
    const journal = createJournal({ database, clock: systemClock, ids: systemIds });
    const seen: string[] = [];
    let failures = 0;
    await append(journal, 'registry/bad', 1);
    await append(journal, 'registry/good', 1);
    const stop = consume(database, journal, async ([event]) => {
      if (event?.stream === 'registry/bad' && failures++ === 0) throw new Error('not now');
      seen.push(event?.stream ?? '');
    });
    await waitFor('both', patienceMs, () => seen.length === 2);
    await stop();
    assert.deepEqual(seen, ['registry/good', 'registry/bad']);
  });

  test('only streams that were told of are looked at, and all of them after an empty wake and every 5 s', async () => {
    const database = await open();
    let wakeAll = () => {};
    const tools = { database, clock: systemClock, ids: systemIds };
    const journal = createJournal({
      ...tools,
      wakes: {
        send: () => {},
        onWake: (wake) => {
          wakeAll = () => wake([]);
        },
        close: async () => {},
      },
    });
    const elsewhere = createJournal(tools);
    const seen: string[] = [];
    const note = async (events: readonly JournalEvent[]) => {
      seen.push(...events.map(({ stream, seq }) => `${stream} ${seq}`));
    };
    const waitForSeen = (event: string) => waitFor(event, patienceMs, () => seen.at(-1) === event);
    let nowMs = 0;
    const stop = consume(database, journal, note, { ...systemClock, monotonicMs: () => nowMs });
    await append(journal, 'registry/a', 1);
    await waitForSeen('registry/a 1');

    await append(elsewhere, 'registry/b', 1);
    await append(journal, 'registry/c', 1);
    await waitForSeen('registry/c 1');
    wakeAll();
    await waitForSeen('registry/b 1');

    await append(elsewhere, 'registry/b', 1);
    await append(journal, 'registry/c', 1);
    await waitForSeen('registry/c 2');
    nowMs = 5_000;
    await append(journal, 'tenant/t', 1);
    await waitForSeen('registry/b 2');
    await stop();
    assert.equal(seen.length, 5);
  });

  test('a stream that goes on in another incarnation is followed there', async () => {
    const database = await open();
    const journal = createJournal({ database, clock: systemClock, ids: systemIds });
    const seen: string[] = [];
    const stop = consume(database, journal, async (events) => {
      seen.push(...events.map((event) => `${event.incarnation === 'second' ? 2 : 1}/${event.seq}`));
    });
    await append(journal, 'registry/a', 2);
    await waitFor('the first incarnation', patienceMs, () => seen.length === 2);
    await database.transaction((tx) =>
      tx
        .updateTable('journal_heads')
        .set({ incarnation: 'second', seq: 0, hash: '0'.repeat(64) })
        .execute(),
    );
    await append(journal, 'registry/a', 1);
    await waitFor('the second incarnation', patienceMs, () => seen.length === 3);
    await stop();
    assert.deepEqual(seen, ['1/1', '1/2', '2/1']);
  });

  test('a consumer killed at any moment misses nothing', async () => {
    const database = await open();
    const journal = createJournal({ database, clock: systemClock, ids: systemIds });
    const file = join(folder.path, systemIds.uid());
    await append(journal, 'registry/a', 400);
    for (const killAfterMs of [100, 250, 400]) {
      const child = startChild(placeOf(database), file);
      await waitFor('the child handles events', patienceMs, () => existsSync(file));
      await systemClock.sleep(killAfterMs);
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    const child = startChild(placeOf(database), file);
    const seen = () => readFileSync(file, 'utf8').trimEnd().split('\n').map(Number);
    await waitFor('the last event', patienceMs, () => seen().at(-1) === 400);
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.deepEqual([...new Set(seen())], numbered(400));
  });
});

/** Writes the sequence number of each event to a file, slowly. */
function startChild(place: DatabasePlace, file: string): ChildProcess {
  const source = `
    import { appendFileSync } from 'node:fs';
    import { openAt } from ${JSON.stringify(import.meta.resolve('../../../test/support/databases.ts'))};
    import { createLog } from ${JSON.stringify(import.meta.resolve('../log.ts'))};
    import { systemClock } from ${JSON.stringify(import.meta.resolve('../system-clock.ts'))};
    import { systemIds } from ${JSON.stringify(import.meta.resolve('../system-ids.ts'))};
    import { createJournal } from ${JSON.stringify(import.meta.resolve('./create-journal.ts'))};
    import { runConsumer } from ${JSON.stringify(import.meta.resolve('./run-consumer.ts'))};
    const database = await openAt(${JSON.stringify(place)});
    const journal = createJournal({ database, clock: systemClock, ids: systemIds });
    await runConsumer({
      database, journal, clock: systemClock, name: 'child', follows: () => true, signal: new AbortController().signal,
      log: createLog({ sink: { write: () => {}, dropped: () => 0 }, format: 'json', level: 'error' }),
      handle: async (events) => {
        for (const { seq } of events) { appendFileSync(${JSON.stringify(file)}, seq + '\\n'); await systemClock.sleep(1); }
      },
    });`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', source], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  children.push(child);
  return child;
}
