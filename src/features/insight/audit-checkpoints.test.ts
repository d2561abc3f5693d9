import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { folderNotes } from '../../platform/blob-store/folder-notes.ts';
import { createJournal } from '../../platform/journal/create-journal.ts';
import { createSealer } from '../../platform/keys/sealer.ts';
import { createLog } from '../../platform/log.ts';
import { systemClock as clock } from '../../platform/system-clock.ts';
import { systemIds as ids } from '../../platform/system-ids.ts';
import { appendStatement, Checkpoints } from './audit-checkpoints.ts';
import { verifyCheckpoints } from './checkpoint-verification.ts';

const told: string[] = [];
const log = createLog({
  sink: { write: (line) => void told.push(line), dropped: () => 0 },
  format: 'json',
  level: 'error',
});
const job = { signal: new AbortController().signal };
const folder = temporaryFolder('checkpoints');
after(() => folder.remove());
const newNotes = () => folderNotes(join(folder.path, ids.uid()), clock);

forEachDatabase((_, open) => {
  test('two processes that sign in turn sign everything once, also what the other came to', async () => {
    const database = await open();
    const journal = createJournal({ database, clock, ids });
    const sealer = createSealer([{ id: Buffer.alloc(8, 1), bytes: Buffer.alloc(32, 2) }], ids);
    const notes = newNotes();
    const processes = [0, 1].map(() => new Checkpoints({ database, clock, ids, sealer, log, notes }));
    for (let round = 1; round <= 3; round += 1) {
      for (const stream of round === 2 ? ['registry/a/here'] : ['registry/a/here', 'registry/b/here'])
        await journal.transaction(async (_tx, append) =>
          append({ stream, type: 'tag.set', version: 1, actor: 'olivia', data: { repository: 'app', tag: 'v1' } }),
        );
      for (const each of processes) await each.write(job);
    }
    const rows = await database.read
      .selectFrom('audit_checkpoints')
      .select(['stream', 'seq'])
      .orderBy('stream')
      .orderBy('seq')
      .execute();
    assert.deepEqual(
      rows.map(({ stream, seq }) => `${stream} ${seq}`),
      ['registry/a/here 1', 'registry/a/here 2', 'registry/a/here 3', 'registry/b/here 1', 'registry/b/here 2'],
    );
  });

  test('what a failover lost of the statements is told, and signed again by processes that ran on', async () => {
    const database = await open();
    const journal = createJournal({ database, clock, ids });
    const sealer = createSealer([{ id: Buffer.alloc(8, 1), bytes: Buffer.alloc(32, 2) }], ids);
    const checkpoints = new Checkpoints({ database, clock, ids, sealer, log, notes: newNotes() });
    const streams = ['registry/a/here', 'registry/b/here', 'registry/c/here'];
    for (const stream of streams)
      await journal.transaction(async (_tx, append) =>
        append({ stream, type: 'tag.set', version: 1, actor: 'olivia', data: { repository: 'app', tag: 'v1' } }),
      );
    const signed = async () => {
      const rows = await database.read.selectFrom('audit_checkpoints').select('stream').orderBy('stream').execute();
      return rows.map(({ stream }) => stream);
    };
    await checkpoints.write(job);
    assert.deepEqual(await signed(), streams);
    await checkpoints.write(job);
    assert.deepEqual(told, []);
    await database.transaction(async (tx) => {
      await tx.deleteFrom('audit_checkpoints').where('number', '>', 1).execute();
    });
    await checkpoints.write(job);
    assert.match(told.splice(0).join('\n'), /"lastSigned":3,"lastFound":1,"msg":"signed checkpoints are gone/);
    assert.deepEqual(await signed(), streams);
    assert.equal((await verifyCheckpoints({ database, sealer })).kind, 'whole');
  });

  test('what a failover lost is signed again also where more was signed meanwhile than was lost', async () => {
    const database = await open();
    const journal = createJournal({ database, clock, ids });
    const sealer = createSealer([{ id: Buffer.alloc(8, 1), bytes: Buffer.alloc(32, 2) }], ids);
    const parts = { database, clock, ids, sealer, log, notes: newNotes() };
    const checkpoints = new Checkpoints(parts);
    await journal.transaction(async (_tx, append) =>
      append({ stream: 'registry/a/here', type: 'tag.set', version: 1, actor: 'olivia', data: {} }),
    );
    await checkpoints.write(job);
    await checkpoints.write(job);
    await database.transaction(async (tx) => {
      await tx.deleteFrom('audit_checkpoints').execute();
      const head = { source: 'access', stream: 's', incarnation: '', hash: 'h' } as const;
      for (const seq of [1, 2]) await appendStatement(tx, parts, { ...head, seq });
    });
    await checkpoints.write(job);
    assert.match(told.splice(0).join('\n'), /"lastSigned":1,"lastFound":2,"msg":"signed checkpoints are gone/);
    const rows = await database.read.selectFrom('audit_checkpoints').select('stream').orderBy('number').execute();
    assert.deepEqual(
      rows.map(({ stream }) => stream),
      ['s', 's', 'registry/a/here'],
    );
  });
});
