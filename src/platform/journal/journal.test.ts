import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import { MissingValue } from '../database/missing-value.ts';
import { sendAhead } from '../database/send-ahead.ts';
import { HeldClock } from '../held-clock.ts';
import { systemClock } from '../system-clock.ts';
import { systemIds } from '../system-ids.ts';
import { createAppendEvents } from './append-events.ts';
import { createJournal } from './create-journal.ts';
import { chainStart, eventRow } from './event-bytes.ts';
import type { Journal, NewEvent } from './journal.ts';
import { streamOf } from './journal.ts';
import { openPostgresWakes } from './postgres-wakes.ts';
import { verifyChain } from './verify-chain.ts';

const stream = streamOf('r1', 'home');
const other = streamOf('r2', 'home');

function pushed(number: number, of = stream): NewEvent {
  return { stream: of, type: 'tag.pushed', version: 1, actor: 'tester', data: { number, z: 1, a: { y: 1, b: 2 } } };
}

async function append(journal: Journal, ...events: NewEvent[]): Promise<void> {
  await journal.transaction(async (_tx, add) => {
    for (const event of events) add(event);
  });
}

async function allEvents(journal: Journal, of = stream) {
  return await journal.after(await journal.start(of), 10_000);
}

forEachDatabase((name, open, placeOf) => {
  const journalOn = async (clock = systemClock) => {
    const database = await open();
    return { database, journal: createJournal({ database, clock, ids: systemIds }) };
  };

  test('events come back as they were appended, each stream counting for itself', async () => {
    const { database, journal } = await journalOn();
    await append(journal, pushed(1), pushed(2, other), pushed(3));
    const events = await allEvents(journal);
    assert.deepEqual(
      events.map(({ seq, data, actor, version, type }) => ({ seq, data, actor, version, type })),
      [1, 3].map((number, index) => {
        const { stream: _, ...event } = pushed(number);
        return { seq: index + 1, ...event };
      }),
    );
    assert.deepEqual(await journal.head(other), { ...(await journal.start(other)), seq: 1 });
    assert.deepEqual(await journal.after(await journal.head(stream), 10), []);
    assert.deepEqual(await verifyChain(database, await journal.head(stream)), { kind: 'whole', events: 2 });
  });

  test('an event has the bytes that its canonical JSON has, whatever is in it', async () => {
    const { database, journal } = await journalOn(new HeldClock(7));
    const odd = ['"\\', '\u0000\u2028\n', '\ud83d\ude80', '\ud800', '%s $1 {}', 'ä'];
    const data = { odd, "it's": 'z', n: 1.5e-9, none: null, deep: { z: [], a: {} } };
    await append(journal, { ...pushed(1), actor: odd.join(''), data }, { ...pushed(2), type: 'a"b' });
    const { incarnation } = await journal.head(stream);
    const rows = await database.read.selectFrom('journal_events').orderBy('seq').selectAll().execute();
    const bytes = rows.map((row) => Buffer.from(row.bytes).toString());
    let previous = chainStart;
    const expected = [
      { actor: odd.join(''), data, type: 'tag.pushed' },
      { actor: 'tester', data: pushed(2).data, type: 'a"b' },
    ].map((event, index) => {
      const row = eventRow(
        { ...event, stream, version: 1 },
        { stream, incarnation, seq: index + 1 },
        7 + index,
        previous,
      );
      previous = row.hash;
      return Buffer.from(row.bytes).toString();
    });
    assert.deepEqual(bytes, expected);
  });

  test('a head that a transaction made and rolled back is made again', async () => {
    const { database, journal } = await journalOn();
    const appended = createAppendEvents({ kind: database.kind, clock: systemClock, ids: systemIds });
    const refused = database.transaction(async (tx) => {
      await appended.append(tx, [pushed(1)]);
      throw new Error('no');
    });
    await assert.rejects(refused, /no/);
    for (const number of [1, 2, 3])
      await database.transaction(async (tx) => await appended.append(tx, [pushed(number), pushed(number, other)]));
    const events = await allEvents(journal);
    assert.deepEqual(
      events.map(({ seq }) => seq),
      [1, 2, 3],
    );
  });

  test('a head that is gone, as after a failover that lost it, is made again', async () => {
    const { database, journal } = await journalOn();
    for (const number of [1, 2]) await append(journal, pushed(number));
    await database.transaction(async (tx) => {
      for (const table of ['journal_events', 'journal_heads'] as const) await tx.deleteFrom(table).execute();
    });
    for (const number of [3, 4]) await append(journal, pushed(number));
    assert.deepEqual(
      (await allEvents(journal)).map(({ data }) => data.number),
      [3, 4],
    );
  });

  test('many long events are one chain too', async () => {
    const { database, journal } = await journalOn();
    await append(journal, pushed(0));
    const long = { ...pushed(1), data: { text: 'x'.repeat(10_000) } };
    await append(journal, ...Array.from({ length: 50 }, () => long));
    assert.deepEqual(await verifyChain(database, await journal.head(stream)), { kind: 'whole', events: 51 });
  });

  test('who began the transaction says what an error of its commit means', async () => {
    const { journal } = await journalOn();
    await append(journal, pushed(1));
    const means = new Error('full');
    const refused = journal.transaction(async (tx, add, explain) => {
      add(pushed(2));
      explain((error) => (error instanceof MissingValue && error.column === 'journal_heads.seq' ? means : error));
      await sendAhead(tx, sql`update journal_heads set seq = null`.compile(tx));
    });
    await assert.rejects(refused, means);
    assert.equal((await allEvents(journal)).length, 1);
  });

  test('a transaction that throws leaves no event; one of more than 500 events is refused', async () => {
    const { journal } = await journalOn();
    await assert.rejects(
      journal.transaction(async (_tx, add) => {
        add(pushed(1));
        throw new Error('no');
      }),
    );
    await assert.rejects(append(journal, ...Array.from({ length: 501 }, (_, index) => pushed(index))), /slices of 500/);
    assert.deepEqual(await allEvents(journal), []);
    await append(journal, ...Array.from({ length: 500 }, (_, index) => pushed(index)));
    assert.equal((await journal.head(stream)).seq, 500);
  });

  test('time within a stream grows with every event, also when the wall clock goes back', async () => {
    const clock = new HeldClock(1_000_000);
    const { journal } = await journalOn(clock);
    await append(journal, pushed(1), pushed(2));
    clock.setWall(500);
    await append(journal, pushed(3));
    clock.setWall(2_000_000);
    await append(journal, pushed(4));
    const times = (await allEvents(journal)).map((event) => event.occurredAtMicros);
    assert.deepEqual(times, [1_000_000, 1_000_001, 1_000_002, 2_000_000]);
  });

  test('eight writers on two handles: no gap, and a reader that follows never misses an event', async () => {
    const { database, journal } = await journalOn();
    const second = createJournal({ database: await open({ again: database }), clock: systemClock, ids: systemIds });
    const each = 25;
    const writer = async (number: number) => {
      for (let index = 0; index < each; index++) {
        const streams = index % 2 === 0 ? [stream, other] : [other, stream];
        await append(number % 2 === 0 ? journal : second, ...streams.map((of) => pushed(number * each + index, of)));
      }
    };
    const seen: number[] = [];
    let isOver = false;
    const follow = async () => {
      let cursor = await journal.start(stream);
      while (true) {
        const isLast = isOver;
        if (cursor.incarnation === '') cursor = await journal.start(stream);
        for (const event of await journal.after(cursor, 1_000)) {
          seen.push(event.seq);
          cursor = { ...cursor, seq: event.seq };
        }
        if (isLast) return;
        await systemClock.sleep(1);
      }
    };
    const following = follow();
    await Promise.all(Array.from({ length: 8 }, (_, number) => writer(number)));
    isOver = true;
    await following;
    assert.deepEqual(
      seen,
      Array.from({ length: 8 * each }, (_, index) => index + 1),
    );
    for (const name of [stream, other])
      assert.deepEqual(await verifyChain(database, await journal.head(name)), { kind: 'whole', events: 8 * each });
  });

  test('listeners hear of the streams of a commit after it, and not of one that failed', async () => {
    const { journal } = await journalOn();
    const heard: string[][] = [];
    const stop = journal.onAppend((streams) => heard.push([...streams]));
    await append(journal, pushed(1), pushed(2, other), pushed(3));
    await assert.rejects(append(journal, ...Array.from({ length: 501 }, () => pushed(1))));
    stop();
    await append(journal, pushed(4));
    assert.deepEqual(heard, [[stream, other]]);
  });

  for (const [what, damage, at] of [
    ['changed bytes', sql`update journal_events set bytes = ${Buffer.from('{}')} where seq = 2`, 2],
    ['a removed event', sql`delete from journal_events where seq = 2`, 2],
    ['a removed last event', sql`delete from journal_events where seq = 3`, 3],
    ['a changed column', sql`update journal_events set occurred_at = 1 where seq = 3`, 3],
    ['a head set back', sql`update journal_heads set seq = 1`, 2],
  ] as const) {
    test(`the chain tells ${what}`, async () => {
      const { database, journal } = await journalOn();
      await append(journal, pushed(1), pushed(2), pushed(3));
      const cursor = await journal.head(stream);
      await database.transaction((tx) => damage.execute(tx));
      const verdict = await verifyChain(database, cursor);
      assert.equal(verdict.kind === 'broken' && verdict.at, at, JSON.stringify(verdict));
    });
  }

  if (name === 'postgres')
    test('an append whose connection the server ends while it waits for the head is tried again', async () => {
      const { database, journal } = await journalOn();
      for (const number of [1, 2]) await append(journal, pushed(number));
      const released = Promise.withResolvers<void>();
      const holding = database.transaction(async (tx) => {
        await sql`select * from journal_heads for update`.execute(tx);
        await released.promise;
      });
      const appended = append(journal, pushed(3));
      const isEnded = async () => {
        const { rows } = await sql<{ readonly ended: boolean }>`
          select pg_terminate_backend(pid) as ended from pg_stat_activity
          where datname = current_database() and wait_event_type = 'Lock'`.execute(database.read);
        return rows.some(({ ended }) => ended);
      };
      await waitFor('it waits, and is ended', 60_000, isEnded);
      released.resolve();
      await Promise.all([holding, appended]);
      assert.deepEqual(await verifyChain(database, await journal.head(stream)), { kind: 'whole', events: 3 });
    });

  if (name === 'postgres')
    test('NOTIFY wakes another process, also after the listening connection was cut', async () => {
      const database = await open();
      const url = placeOf(database).location;
      const [here, there] = [
        openPostgresWakes({ url, clock: systemClock }),
        openPostgresWakes({ url, clock: systemClock }),
      ];
      const tools = { database, clock: systemClock, ids: systemIds };
      const sender = createJournal({ ...tools, wakes: here });
      const receiver = createJournal({ ...tools, wakes: there });
      const heard: string[] = [];
      receiver.onAppend((streams) => heard.push(...streams));
      const appendUntilHeard = async (of: string) => {
        await append(sender, pushed(1, of));
        return heard.includes(of);
      };
      await waitFor('the first wake', 120_000, () => appendUntilHeard('first'));
      await sql`select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen%' and datname = current_database()`.execute(
        database.read,
      );
      await waitFor('a wake after the cut', 120_000, () => appendUntilHeard('second'));
      await Promise.all([here.close(), there.close()]);
    });
});
