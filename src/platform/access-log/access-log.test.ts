import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { zstdDecompressSync } from 'node:zlib';
import { sql } from 'kysely';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { waitFor } from '../../../test/support/wait-for.ts';
import type { Database } from '../database/database.ts';
import { HeldClock } from '../held-clock.ts';
import { createLog } from '../log.ts';
import { systemIds } from '../system-ids.ts';
import { AccessBuffer } from './access-buffer.ts';
import type { Access } from './access-log.ts';
import { createAccessLog } from './create-access-log.ts';

function access(kind: Access['kind'], more: Partial<Access> = {}): Access {
  return { kind, identity: 'user', address: '192.0.2.1', correlationId: 'c', status: 200, ...more };
}

async function batches(database: Database) {
  const rows = await database.read.selectFrom('access_batches').selectAll().orderBy('seq').execute();
  return rows.map((row) => ({ ...row, text: zstdDecompressSync(row.bytes).toString('utf8') }));
}

function assertChained(written: Awaited<ReturnType<typeof batches>>): void {
  let previous = '0'.repeat(64);
  for (const { hash, bytes } of written) {
    assert.equal(hash, createHash('sha256').update(previous).update(bytes).digest('hex'));
    previous = hash;
  }
}

forEachDatabase((_name, open) => {
  const logOn = async () => {
    const lines: string[] = [];
    const database = await open();
    const clock = new HeldClock();
    const log = createLog({
      sink: { write: (line) => lines.push(line), dropped: () => 0 },
      format: 'json',
      level: 'warn',
    });
    return { database, clock, lines, accessLog: createAccessLog({ database, clock, ids: systemIds, log }) };
  };

  test('what was recorded is written a second later, and the rest at close', async () => {
    const { database, clock, accessLog } = await logOn();
    accessLog.record(access('pull', { tag: 'v1' }));
    clock.advance(999);
    assert.deepEqual(await batches(database), []);
    clock.advance(1);
    await waitFor('the first batch', 120_000, async () => (await batches(database)).length === 1);
    accessLog.record(access('signIn'));
    await accessLog.close();
    const written = await batches(database);
    assert.deepEqual(
      written.map(({ seq, count, text }) => ({ seq, count, kind: JSON.parse(text).kind })),
      [
        { seq: 1, count: 1, kind: 'pull' },
        { seq: 2, count: 1, kind: 'signIn' },
      ],
    );
    assert.deepEqual(JSON.parse(written[0]?.text ?? ''), {
      at: Date.UTC(2030, 0, 1) * 1000,
      ...access('pull', { tag: 'v1' }),
    });
  });

  test('many at once are written together, in batches short enough to look for a line in', async () => {
    const { database, accessLog } = await logOn();
    for (let index = 0; index < 2_600; index++) accessLog.record(access('pull', { tag: `v${index}` }));
    await accessLog.close();
    const written = await batches(database);
    assert.deepEqual(
      written.map(({ seq, count }) => [seq, count]),
      [...Array.from({ length: 10 }, (_, index) => [index + 1, 250]), [11, 100]],
    );
    const tags = written.flatMap(({ text }) => text.trimEnd().split('\n')).map((line) => JSON.parse(line).tag);
    assert.deepEqual(
      tags,
      Array.from({ length: 2_600 }, (_, index) => `v${index}`),
    );
    assertChained(written);
  });

  test('each batch carries the hash of the one before', async () => {
    const { database, accessLog } = await logOn();
    for (const tag of ['a', 'b', 'c']) {
      accessLog.record(access('pull', { tag }));
      await accessLog.flush();
    }
    assertChained(await batches(database));
    await accessLog.close();
  });

  test('a batch that the database refused is kept, told of, and written later', async () => {
    const { database, clock, lines, accessLog } = await logOn();
    await database.transaction((tx) => sql`alter table access_batches rename to elsewhere`.execute(tx));
    accessLog.record(access('pull', { tag: 'a' }));
    clock.advance(1_000);
    await waitFor('the warning', 120_000, () => lines.length > 0);
    accessLog.record(access('pull', { tag: 'b' }));
    await assert.rejects(accessLog.flush());
    await database.transaction((tx) => sql`alter table elsewhere rename to access_batches`.execute(tx));
    await accessLog.close();
    assert.deepEqual(
      (await batches(database)).map(({ seq, text }) => [seq, JSON.parse(text).tag]),
      [
        [1, 'a'],
        [2, 'b'],
      ],
    );
  });
});

test('denials that repeat from one address are counted; pulls are not', () => {
  const buffer = new AccessBuffer();
  const denial = access('denial', { status: 401, reason: 'password' });
  for (let index = 0; index < 5; index++) buffer.add({ ...denial, identity: `guess${index}` }, index);
  buffer.add({ ...denial, address: '192.0.2.2' }, 5);
  for (let index = 0; index < 2; index++) buffer.add(access('pull'), 6);
  const taken = buffer.take(7);
  const lines = (taken?.lines ?? '')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    lines.map(({ kind, identity, times }) => [kind, identity, times]),
    [
      ['denial', 'guess0', 5],
      ['denial', 'user', undefined],
      ['pull', 'user', undefined],
      ['pull', 'user', undefined],
    ],
  );
  assert.deepEqual({ ...taken, lines: '' }, { lines: '', count: 8, firstAtMicros: 0, lastAtMicros: 7 });
  assert.equal(buffer.take(8), undefined);
});

test('a full buffer drops and says how many', () => {
  const buffer = new AccessBuffer();
  for (let index = 0; index < 20_000; index++) buffer.add(access('pull', { userAgent: 'x'.repeat(1_000) }), 1);
  let pulls = 0;
  let dropped = 0;
  for (let taken = buffer.take(2); taken !== undefined; taken = buffer.take(2))
    for (const line of taken.lines.trimEnd().split('\n')) {
      const { kind, times } = JSON.parse(line);
      if (kind === 'pull') pulls += 1;
      else dropped += times;
    }
  assert.equal(pulls + dropped, 20_000);
  assert.ok(dropped > 1_000 && pulls > 1_000, `${pulls} kept, ${dropped} dropped`);
});
