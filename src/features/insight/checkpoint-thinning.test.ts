import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Updateable } from 'kysely';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { folderNotes } from '../../platform/blob-store/folder-notes.ts';
import type { Database, Transaction } from '../../platform/database/database.ts';
import type { Schema } from '../../platform/database/schema.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import { createJournal } from '../../platform/journal/create-journal.ts';
import { createSealer } from '../../platform/keys/sealer.ts';
import { createLog } from '../../platform/log.ts';
import { systemClock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { Checkpoints } from './audit-checkpoints.ts';
import { verifyAudit } from './audit-verification.ts';
import { thinCheckpoints } from './checkpoint-thinning.ts';
import { verifyCheckpoints } from './checkpoint-verification.ts';

const dayMs = 86_400_000;
const job = { signal: new AbortController().signal, renew: async () => {} };
const sealer = createSealer([{ id: Buffer.alloc(8, 1), bytes: Buffer.alloc(32, 2) }], ids);

const folder = temporaryFolder('thinning');
after(() => folder.remove());

forEachDatabase((_, open) => {
  /** An installation that was signed after each of its rounds, in which every stream got so many events; that was long ago. */
  async function installation({ streams = ['a'], rounds = 1, events = 1 } = {}) {
    const database = await open();
    const clock = new HeldClock();
    const journal = createJournal({ database, clock, ids });
    const notes = folderNotes(join(folder.path, ids.uid()), systemClock);
    const lines: string[] = [];
    const log = createLog({
      sink: { write: (line) => void lines.push(line), dropped: () => 0 },
      format: 'json',
      level: 'error',
    });
    const checkpoints = new Checkpoints({ database, clock, ids, sealer, log, notes });
    const round = async (names = streams) => {
      await journal.transaction(async (_tx, append) => {
        for (const name of names)
          for (let each = 0; each < events; each += 1)
            append({ stream: `registry/${name}/here`, type: 'tag.set', version: 1, actor: 'olivia', data: {} });
      });
      await checkpoints.write(job);
    };
    for (let each = 0; each < rounds; each += 1) await round();
    clock.advance(8 * dayMs);
    return {
      database,
      round,
      lines,
      later: () => clock.advance(8 * dayMs),
      thin: async (on: Database = database) =>
        await thinCheckpoints({ database: on, clock, ids, sealer, log, notes }, job),
      rows: async () =>
        (
          await database.read
            .selectFrom('audit_checkpoints')
            .select(['number', 'source', 'stream', 'seq'])
            .orderBy('number')
            .execute()
        ).map(({ number, source, stream, seq }) => `${number} ${source === 'checkpoints' ? `from ${seq}` : stream}`),
      verify: async () =>
        (await Array.fromAsync(verifyAudit({ database, sealer, notes }))).map(
          ({ kind, source, count, at = '', reason = '' }) => `${kind} ${source} ${count} ${at} ${reason}`.trim(),
        ),
    };
  }

  test('of what was signed long ago one statement for each hundred events stays, and all can be verified', async () => {
    const here = await installation({ rounds: 12, events: 20 });
    await here.round();
    const before = await here.verify();
    assert.deepEqual(before, ['whole checkpoints 13', 'whole journal 260']);
    await here.thin();
    const thinned = [
      '4 from 1',
      '5 registry/a/here',
      '9 from 6',
      '10 registry/a/here',
      '12 from 11',
      '13 registry/a/here',
    ];
    assert.deepEqual(await here.rows(), thinned);
    assert.deepEqual(await here.verify(), ['whole checkpoints 3', 'whole journal 260']);
    await here.thin();
    assert.deepEqual(await here.rows(), thinned);
    await here.round();
    assert.deepEqual(await here.verify(), ['whole checkpoints 4', 'whole journal 280']);
  });

  test('what is young stays', async () => {
    const here = await installation({ rounds: 3 });
    for (let each = 0; each < 3; each += 1) await here.round();
    await here.thin();
    assert.equal((await here.rows()).length, 4);
    here.later();
    await here.round();
    await here.thin();
    assert.deepEqual(await here.rows(), ['6 from 1', '7 registry/a/here']);
    assert.deepEqual(await here.verify(), ['whole checkpoints 1', 'whole journal 7']);
  });

  type Tampering = readonly [what: string, change: (tx: Transaction) => Promise<unknown>, found: RegExp];
  const changed = (tx: Transaction, number: number, change: Updateable<Schema['audit_checkpoints']>) =>
    tx.updateTable('audit_checkpoints').set(change).where('number', '=', number).execute();
  const tamperings: readonly Tampering[] = [
    [
      'a statement that stayed and was taken out',
      (tx) => tx.deleteFrom('audit_checkpoints').where('number', '=', 5).execute(),
      /broken checkpoints 4 5 a checkpoint is missing/,
    ],
    [
      'a gap that was taken out',
      (tx) => tx.deleteFrom('audit_checkpoints').where('number', '=', 9).execute(),
      /broken checkpoints \d+ 6 a checkpoint is missing/,
    ],
    [
      'a gap that was made wider',
      async (tx) => {
        await tx.deleteFrom('audit_checkpoints').where('number', '=', 5).execute();
        const row = await tx
          .selectFrom('audit_checkpoints')
          .select('statement')
          .where('number', '=', 9)
          .executeTakeFirstOrThrow();
        await changed(tx, 9, { statement: row.statement.replace('"firstNumber":6', '"firstNumber":5') });
      },
      /broken checkpoints \d+ 5 the signature of the checkpoint is wrong/,
    ],
    [
      'a gap that was put elsewhere',
      async (tx) => {
        await tx.deleteFrom('audit_checkpoints').where('number', '=', 13).execute();
        await tx.deleteFrom('audit_checkpoints').where('number', '=', 12).execute();
        await changed(tx, 9, { number: 12 });
      },
      /broken checkpoints \d+ 6 /,
    ],
    [
      'events that were taken out',
      (tx) => tx.deleteFrom('journal_events').where('seq', '=', 123).execute(),
      /broken journal 122 123 an event is missing/,
    ],
  ];
  for (const [what, change, found] of tamperings)
    test(`verify names ${what}`, async () => {
      const here = await installation({ rounds: 13, events: 20 });
      await here.thin();
      await here.database.transaction(change);
      const broken = (await here.verify()).filter((line) => line.startsWith('broken'));
      assert.match(broken[0] ?? '', found);
    });

  test('what does not fit is not signed over', async () => {
    const here = await installation({ rounds: 6 });
    await here.database.transaction((tx) => tx.deleteFrom('audit_checkpoints').where('number', '=', 3).execute());
    const before = await here.verify();
    await here.thin();
    assert.deepEqual(await here.verify(), before);
    assert.match(before[0] ?? '', /broken checkpoints 2 3 a checkpoint is missing/);
    assert.match(here.lines.join(), /checkpoints stay as they are/);
    assert.match(here.lines.join(), /"number":2[,}]/);
    assert.deepEqual((await here.rows()).slice(0, 2), ['1 registry/a/here', '2 registry/a/here']);
  });

  test('runs leave in small steps, and a process that is killed between any two of them leaves a whole chain', async () => {
    const streams = ['a', 'b', 'c', 'd', 'e'];
    const here = await installation({ streams, rounds: 90 });
    const whole = ['whole checkpoints 5', ...streams.map(() => 'whole journal 90')];
    const killedAfter = (steps: number): Database => {
      let done = 0;
      const transaction: Database['transaction'] = async (work, options) => {
        if (done === steps) throw new Error('killed');
        done += 1;
        return await here.database.transaction(work, options);
      };
      return { ...here.database, transaction };
    };
    await assert.rejects(here.thin(killedAfter(1)), /killed/);
    assert.equal((await here.verify())[0], 'whole checkpoints 250');
    await assert.rejects(here.thin(killedAfter(1)), /killed/);
    assert.equal((await here.verify())[0], 'whole checkpoints 51');
    await here.thin();
    assert.deepEqual(await here.verify(), whole);
    assert.equal((await here.rows())[0], '445 from 1');
  });

  test('what leaves while verify reads is nothing that it names', async () => {
    const here = await installation({ streams: ['a', 'b', 'c', 'd', 'e'], rounds: 42 });
    let pages = 0;
    const read = here.database.read.withPlugin({
      transformQuery: ({ node }) => node,
      transformResult: async ({ result }) => {
        if (result.rows.length === 200 && pages++ === 0) await here.thin();
        return result;
      },
    });
    const verdict = await verifyCheckpoints({ database: { ...here.database, read }, sealer });
    assert.deepEqual([verdict.kind, 'count' in verdict && verdict.count, pages], ['whole', 5, 1]);
  });

  test('two processes at once leave a whole chain', async () => {
    const here = await installation({ rounds: 30 });
    const ends = await Promise.allSettled([here.thin(), here.thin(), here.thin()]);
    assert(ends.some(({ status }) => status === 'fulfilled'));
    assert.deepEqual(await here.verify(), ['whole checkpoints 1', 'whole journal 30']);
    assert.deepEqual(await here.rows(), ['29 from 1', '30 registry/a/here']);
  });
});
