import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompiledQuery } from 'kysely';
import { forEachDatabase } from '../../../test/support/databases.ts';
import type { Database } from './database.ts';
import { hotRows, hotStatement } from './hot-query.ts';
import { sendAhead } from './send-ahead.ts';

const insertTenants = hotRows(['epoch'], ['uid'], (on, parameter, items) =>
  on
    .insertInto('tenants')
    .values(
      items.map((item) => ({
        uid: item('uid'),
        tenant_id: item('uid'),
        access_epoch: parameter('epoch'),
        created_at: 1,
      })),
    )
    .returning('uid'),
);

const epochOf = hotStatement(['uid'], (on, parameter) =>
  on.selectFrom('tenants').select('access_epoch').where('uid', '=', parameter<string>('uid')),
);

async function uids(database: Database): Promise<string[]> {
  const rows = await database.read.selectFrom('tenants').select('uid').orderBy('uid').execute();
  return rows.map((row) => row.uid);
}

forEachDatabase((_name, open) => {
  test('statements sent ahead run in order, and each gets its own rows', async () => {
    const database = await open();
    const found = await database.transaction(async (tx) => {
      const first = await insertTenants.ahead(tx, { epoch: 1 }, [{ uid: 'a' }, { uid: 'b' }]);
      const second = await insertTenants.ahead(tx, { epoch: 2 }, [{ uid: 'c' }]);
      const epoch = await epochOf(tx, { uid: 'c' });
      const answers = [await second(), await first()];
      return { epoch: epoch?.access_epoch, uids: answers.map((rows) => rows.map((row) => row.uid)) };
    });
    assert.deepEqual(found, { epoch: 2, uids: [['c'], ['a', 'b']] });
  });

  test('what was sent ahead of the commit alone is committed', async () => {
    const database = await open();
    await database.transaction(async (tx) => {
      await insertTenants.ahead(tx, { epoch: 1 }, [{ uid: 'a' }]);
    });
    assert.deepEqual(await uids(database), ['a']);
  });

  test('a statement that fails after it was sent ahead undoes the whole, and is what is told', async () => {
    const database = await open();
    const broken = CompiledQuery.raw('select no_such_column from tenants');
    const ways: readonly ((answer: () => Promise<unknown>) => Promise<unknown>)[] = [
      async () => {},
      async (answer) => await answer(),
    ];
    for (const wait of ways) {
      const failed = database.transaction(async (tx) => {
        await insertTenants(tx, { epoch: 1 }, [{ uid: 'a' }]);
        await wait(await sendAhead(tx, broken));
      });
      await assert.rejects(failed, /no_such_column/);
    }
    const withLater = database.transaction(async (tx) => {
      await sendAhead(tx, broken);
      await insertTenants(tx, { epoch: 1 }, [{ uid: 'a' }]);
    });
    await assert.rejects(withLater, /no_such_column/);
    assert.deepEqual(await uids(database), []);
  });

  test('an answer that two wait for at once is the same for both', async () => {
    const database = await open();
    const rows = await database.transaction(async (tx) => {
      const answer = await insertTenants.ahead(tx, { epoch: 1 }, [{ uid: 'a' }]);
      return await Promise.all([answer(), answer()]);
    });
    assert.deepEqual(
      rows.map((each) => each.map((row) => row.uid)),
      [['a'], ['a']],
    );
  });

  test('an answer that is waited for when its transaction was given up changes nothing', async () => {
    const database = await open();
    const late: (() => Promise<unknown>)[] = [];
    const given = database.transaction(async (tx) => {
      late.push(await insertTenants.ahead(tx, { epoch: 1 }, [{ uid: 'a' }]));
      throw new Error('given up');
    });
    await assert.rejects(given, /given up/);
    await Promise.allSettled(late.map((answer) => answer()));
    assert.deepEqual(await uids(database), []);
  });

  test('a transaction that gives up while an answer is outstanding leaves nothing, and the next one is right', async () => {
    const database = await open();
    const given = database.transaction(async (tx) => {
      await insertTenants.ahead(tx, { epoch: 1 }, [{ uid: 'a' }]);
      throw new Error('given up');
    });
    await assert.rejects(given, /given up/);
    await database.transaction(async (tx) => {
      assert.deepEqual(
        (await insertTenants(tx, { epoch: 1 }, [{ uid: 'b' }])).map((row) => row.uid),
        ['b'],
      );
    });
    assert.deepEqual(await uids(database), ['b']);
  });
});
