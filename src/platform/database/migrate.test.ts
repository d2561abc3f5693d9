import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Kysely, sql } from 'kysely';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { breaks, dropEverything, type SchemaShape, shapeOf } from '../../../test/support/schema-shape.ts';
import type { Database, Transaction } from './database.ts';
import { isAddition, migrations } from './migrate.ts';

/** Migrations before the first release are in no order of upgrades. */
const lastBeforeRelease = 24;

class RolledBack extends Error {}

/** Runs `work` in a transaction on an empty schema, and takes all of it back. */
async function onNothing(database: Database, work: (tx: Transaction) => Promise<void>): Promise<void> {
  const done = database.transaction(async (tx) => {
    await dropEverything(tx, database.kind);
    await work(tx);
    throw new RolledBack();
  });
  await assert.rejects(done, RolledBack);
}

forEachDatabase((kind, open) => {
  test('a migration whose name says that it only adds leaves what the program before it relies on', async () => {
    const database = await open();
    await onNothing(database, async (tx) => {
      let before: SchemaShape = new Map();
      for (const [name, migration] of Object.entries(migrations(kind))) {
        await migration.up(tx);
        const after = await shapeOf(tx, kind);
        if (isAddition(name)) assert.deepEqual(breaks(before, after), [], name);
        if (Number(name.slice(0, 3)) > lastBeforeRelease)
          assert.match(
            name,
            /^\d{3}-(?:adds|changes)-/,
            'its name says whether servers of the version before can go on',
          );
        before = after;
      }
      assert.ok(before.size > 20);
    });
  });

  const examples: readonly [string, (tx: Kysely<never>) => Promise<unknown>, RegExp | undefined][] = [
    ['a table', (tx) => sql`create table other (a integer not null)`.execute(tx), undefined],
    ['a column that may be null', (tx) => sql`alter table things add column c integer`.execute(tx), undefined],
    [
      'a column with a default',
      (tx) => sql`alter table things add column c integer not null default 7`.execute(tx),
      undefined,
    ],
    ['an index', (tx) => sql`create index things_a on things (a)`.execute(tx), undefined],
    ['a unique index', (tx) => sql`create unique index things_a on things (a)`.execute(tx), /things: .*things_a/i],
    ['a column less', (tx) => sql`alter table things drop column b`.execute(tx), /things\.b is gone/],
    ['another name', (tx) => sql`alter table things rename column b to c`.execute(tx), /things\.b is gone/],
    ['a table less', (tx) => sql`drop table things`.execute(tx), /things is gone/],
  ];
  for (const [what, change, expected] of examples) {
    test(`the rule of additions sees ${what} ${expected === undefined ? 'as an addition' : 'as a change'}`, async () => {
      const database = await open();
      await onNothing(database, async (tx) => {
        await sql`create table things (a integer, b integer not null)`.execute(tx);
        const before = await shapeOf(tx, kind);
        await change(tx.withTables<never>());
        const found = breaks(before, await shapeOf(tx, kind)).join('; ');
        if (expected === undefined) assert.equal(found, '');
        else assert.match(found, expected);
      });
    });
  }

  test('a server may start on a schema to which a newer program only added, and leaves it as it is', async () => {
    const database = await open();
    await nameMigration(database, '999-adds-tomorrow');
    await (await open({ again: database })).close();
  });

  test('a schema that a newer program changed is refused, also where another one added to it', async () => {
    const database = await open();
    await nameMigration(database, '998-changes-tomorrow');
    await nameMigration(database, '999-adds-tomorrow');
    await assert.rejects(open({ again: database }), /newer version of Berth.*998-changes-tomorrow/);
  });
});

async function nameMigration(database: Database, name: string): Promise<void> {
  await database.transaction(async (tx) => {
    await sql`insert into kysely_migration (name, timestamp) values (${sql.lit(name)}, '2031')`.execute(tx);
  });
}
