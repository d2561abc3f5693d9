import assert from 'node:assert/strict';
import { before, beforeEach, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import type { Database } from '../../platform/database/database.ts';
import { findState, insertState, maxBegun, requireRoom } from './sign-in-state-store.ts';

const nowMicros = 1_000_000;

forEachDatabase((_, open) => {
  let database: Database;

  before(async () => {
    database = await open();
  });
  beforeEach(() => database.transaction((tx) => tx.deleteFrom('sign_in_states').execute()));

  const fill = async (kind: string, count: number, expiresAt: number) => {
    for (let from = 0; from < count; from += 1_000) {
      const length = Math.min(1_000, count - from);
      const rows = Array.from({ length }, (__, nth) => ({
        key: `${kind}/${from + nth}`,
        payload: '{}',
        expires_at: expiresAt,
      }));
      await database.transaction((tx) => tx.insertInto('sign_in_states').values(rows).execute());
    }
  };
  const insert = async (key: string, goodMicros = 1) => {
    const state = { payload: '{}', expiresAtMicros: nowMicros + goodMicros };
    await database.transaction((tx) => insertState(tx, key, state, nowMicros));
  };
  const room = async () => await database.transaction((tx) => requireRoom(tx, 'device', nowMicros));

  test('what strangers have begun has a limit, of those that have not expired', async () => {
    await fill('device', maxBegun - 1, nowMicros + 1);
    await fill('outsideTicket', maxBegun, nowMicros + 1);
    await insert('device/expired', 0);
    await room();
    await insert('device/one more');
    await assert.rejects(room(), { error: 'tooManyRequests', retryAfterSeconds: 60 });
  });

  test('what has expired leaves in steps, and counts no more before it does', async () => {
    await fill('device', 250, nowMicros);
    const left = async () => (await database.read.selectFrom('sign_in_states').select('key').execute()).length;
    await insert('code/1');
    assert.equal(await left(), 151);
    assert.equal(await findState(database.read, 'device/249', nowMicros), undefined);
    await insert('code/2');
    await insert('code/3');
    assert.equal(await left(), 3);
  });
});
