import assert from 'node:assert/strict';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, test } from 'node:test';
import { run } from '../../../test/support/run.ts';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { systemClock } from '../system-clock.ts';
import { systemIds } from '../system-ids.ts';
import { openSqlite } from './sqlite-database.ts';

const folder = temporaryFolder('checkpoints');
after(() => folder.remove());
const mebibyte = 1024 * 1024;

test('a reader of another process that keeps its snapshot holds up no transaction for long', async () => {
  const file = join(folder.path, 'read.sqlite');
  const database = await openSqlite({ file, clock: systemClock, ids: systemIds });
  const reader = new DatabaseSync(file);
  reader.exec('begin; select * from tenants');
  let longestMs = 0;
  for (let index = 0; index < 40; index += 1) {
    const beganMs = performance.now();
    const row = { uid: String(index), tenant_id: `${index}`.padEnd(mebibyte), access_epoch: 1, created_at: 1 };
    await database.transaction(async (tx) => await tx.insertInto('tenants').values(row).execute());
    longestMs = Math.max(longestMs, performance.now() - beganMs);
  }
  // Two seconds are what the checkpoint once waited for the reader.
  assert.ok(longestMs < 1_500, `${longestMs} ms`);
  reader.close();
  await database.close();
});

test('a program that closes the database while a checkpoint runs ends as it should', async () => {
  const program = `
    const { openSqlite } = await import(${JSON.stringify(import.meta.resolve('./sqlite-database.ts'))});
    const { systemClock: clock } = await import(${JSON.stringify(import.meta.resolve('../system-clock.ts'))});
    const { systemIds: ids } = await import(${JSON.stringify(import.meta.resolve('../system-ids.ts'))});
    const database = await openSqlite({ file: process.argv[1], clock, ids });
    const row = { uid: 'a', tenant_id: 'x'.repeat(${30 * mebibyte}), access_epoch: 1, created_at: 1 };
    await database.transaction((tx) => tx.insertInto('tenants').values(row).execute());
    await database.close();
    console.log('closed');`;
  const file = join(folder.path, 'closed.sqlite');
  const { stdout } = await run(process.execPath, ['--input-type=module', '--eval', program, file]);
  assert.equal(stdout, 'closed\n');
});
