import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CompiledQuery, Kysely, Migrator, sql } from 'kysely';
import { Pool } from 'pg';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { systemClock } from '../system-clock.ts';
import type { Database, Transaction } from './database.ts';
import { migrations } from './migrate.ts';
import { PostgresDialect } from './postgres-dialect.ts';
import type { Schema } from './schema.ts';
import { sendAhead } from './send-ahead.ts';

async function terminate(database: Database, pid: number): Promise<void> {
  await sql`select pg_terminate_backend(${sql.lit(pid)})`.execute(database.read);
}

function insertTenant(uid: string): CompiledQuery {
  return CompiledQuery.raw('insert into tenants (uid, tenant_id, access_epoch, created_at) values ($1, $1, 1, 1)', [
    uid,
  ]);
}

function insertReturning(uid: string): CompiledQuery {
  const { sql: text, parameters } = insertTenant(uid);
  return CompiledQuery.raw(`${text} returning uid`, [...parameters]);
}

/** No program runs its own event loop meanwhile: this process has heard nothing when it goes on. */
function terminateAll(url: string): void {
  const statement =
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()';
  const { status, stderr } = spawnSync('psql', [url, '-c', statement], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
}

/** To a server that gets what `change` makes of each message. */
function tapped(change: (message: Buffer) => Buffer): Socket {
  const socket = new Socket();
  // A socket takes its own `write` back when it connects.
  socket.once('connect', () => {
    socket.write = new Proxy(socket.write, {
      apply: (write, self, [bytes, ...others]) => Reflect.apply(write, self, [change(Buffer.from(bytes)), ...others]),
    });
  });
  return socket;
}

const begin = 'begin isolation level read committed';

/** The server fails to begin a transaction, and nothing else. */
function withoutBegin(message: Buffer): Buffer {
  const text = message.toString('latin1').replace(begin, 'select no_such_column'.padEnd(begin.length));
  return Buffer.from(text, 'latin1');
}

/** Asks the server to answer. Source: https://www.postgresql.org/docs/15/protocol-message-formats.html */
const sync = Buffer.from([...Buffer.from('S'), 0, 0, 0, 4]);

forEachDatabase((name, open, placeOf) => {
  if (name !== 'postgres') return;

  test('statements of a transaction go to the server with the next one that is waited for', async () => {
    const database = await open();
    let journeys = 0;
    const stream = () =>
      tapped((message) => {
        if (message.equals(sync)) journeys += 1;
        return message;
      });
    const pool = new Pool({ connectionString: placeOf(database).location, stream, max: 1, pipeline: true });
    const queries = new Kysely<Schema>({ dialect: new PostgresDialect(pool, systemClock) });
    const journeysOf = async (work: (tx: Transaction) => Promise<unknown>) => {
      const before = journeys;
      await queries.transaction().execute(work);
      return journeys - before;
    };
    assert.equal(await journeysOf(async () => {}), 1);
    const whole = async (tx: Transaction, uid: string) => {
      await sendAhead(tx, insertTenant(`${uid}1`));
      await sendAhead(tx, insertTenant(`${uid}2`));
    };
    assert.equal(await journeysOf((tx) => whole(tx, 'a')), 1);
    const withAnswer = async (tx: Transaction) => {
      await whole(tx, 'b');
      await tx.selectFrom('tenants').select('uid').execute();
      await sendAhead(tx, insertTenant('c'));
    };
    assert.equal(await journeysOf(withAnswer), 2);
    const givenUp = async (tx: Transaction) => {
      await whole(tx, 'd');
      throw new Error('given up');
    };
    const before = journeys;
    await assert.rejects(queries.transaction().execute(givenUp), /given up/);
    assert.equal(journeys, before, 'what never began has nothing to undo');
    await pool.end();
  });

  test('statements that are sent together are waited for longer than one alone', async () => {
    const database = await open();
    const pool = new Pool({ connectionString: placeOf(database).location, max: 1, pipeline: true });
    const timeoutMs = (statements: number) => (statements === 1 ? 500 : 60_000);
    const queries = new Kysely<Schema>({ dialect: new PostgresDialect(pool, systemClock, timeoutMs) });
    await queries.transaction().execute(async (tx) => {
      await sendAhead(tx, CompiledQuery.raw('select pg_sleep(0.4)'));
      await sendAhead(tx, CompiledQuery.raw('select pg_sleep(0.4)'));
    });
    await assert.rejects(queries.executeQuery(CompiledQuery.raw('select pg_sleep(5)')));
    await pool.end();
  });

  test('a statement that failed when it was first sent runs later on the same connection', async () => {
    const database = await open();
    const pool = new Pool({ connectionString: placeOf(database).location, max: 1, pipeline: true });
    const queries = new Kysely<Schema>({ dialect: new PostgresDialect(pool, systemClock) });
    await database.transaction(async (tx) => void (await sendAhead(tx, insertTenant('a'))));
    const insertBoth = async (...uids: readonly string[]) =>
      await queries.transaction().execute(async (tx) => {
        const answers = [];
        for (const uid of uids) answers.push(await sendAhead<{ uid: string }>(tx, insertReturning(uid)));
        const rows = [];
        for (const answer of answers) rows.push(...(await answer()));
        return rows.map((row) => row.uid);
      });
    await assert.rejects(insertBoth('a', 'b'), /duplicate key/);
    assert.deepEqual(await insertBoth('b', 'c'), ['b', 'c']);
    assert.deepEqual(await insertBoth('d', 'e'), ['d', 'e']);
    await pool.end();
  });

  test('a transaction sent whole over a connection that was lost while it stood idle runs again', async () => {
    let passedMs = 0;
    const database = await open({
      clock: { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + passedMs },
    });
    await database.read.selectFrom('tenants').select('uid').execute();
    passedMs += 5_000;
    terminateAll(placeOf(database).location);
    await database.transaction(async (tx) => {
      await sendAhead(tx, insertTenant('a'));
    });
    assert.deepEqual(await database.read.selectFrom('tenants').select('uid').execute(), [{ uid: 'a' }]);
  });

  test('once a transaction could not be begun, nothing more of it is sent, and its connection is not used again', async () => {
    const database = await open();
    const pool = new Pool({
      connectionString: placeOf(database).location,
      stream: () => tapped(withoutBegin),
      pipeline: true,
    });
    const queries = new Kysely<Schema>({ dialect: new PostgresDialect(pool, systemClock) });
    const failed = queries.transaction().execute(async (tx) => {
      await sql`select 1`.execute(tx).catch(() => {});
      await sendAhead(tx, insertTenant('b'));
    });
    await assert.rejects(failed, /no_such_column/);
    assert.equal(pool.totalCount, 0);
    assert.deepEqual(await database.read.selectFrom('tenants').select('uid').execute(), []);
    await pool.end();
  });

  test('a transaction that loses its connection before the commit runs again', async () => {
    const database = await open();
    let runs = 0;
    await database.transaction(async (tx) => {
      runs += 1;
      await tx.insertInto('tenants').values({ uid: 'a', tenant_id: 'a', access_epoch: runs, created_at: 1 }).execute();
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(tx);
      if (runs === 1) await terminate(database, rows[0]?.pid ?? 0);
      await tx.selectFrom('tenants').select('uid').execute();
    });
    assert.deepEqual(await database.read.selectFrom('tenants').select('access_epoch').execute(), [{ access_epoch: 2 }]);
  });

  test('the server keeps no statement that has hundreds of parameters', async () => {
    const database = await open();
    const kept = await database.transaction(async (tx) => {
      for (const count of [1, 600]) {
        const uids = Array.from({ length: count }, (_, at) => `uid${at}`);
        await tx.selectFrom('tenants').select('uid').where('uid', 'in', uids).execute();
      }
      const { rows } = await sql<{ statement: string }>`select statement from pg_prepared_statements`.execute(tx);
      return rows.map(({ statement }) => statement);
    });
    assert.ok(kept.some((statement) => statement.includes('$1')));
    assert.ok(!kept.some((statement) => statement.includes('$600')));
  });

  test('transactions that deadlock both commit in the end', async () => {
    const database = await open();
    const row = (uid: string) => ({ uid, tenant_id: uid, access_epoch: 0, created_at: 1 });
    await database.transaction((tx) =>
      tx
        .insertInto('tenants')
        .values([row('a'), row('b')])
        .execute(),
    );
    const raise = (first: string, second: string) =>
      database.transaction(async (tx) => {
        for (const uid of [first, second]) {
          await tx
            .updateTable('tenants')
            .set((at) => ({ access_epoch: at('access_epoch', '+', 1) }))
            .where('uid', '=', uid)
            .execute();
          await sql`select pg_sleep(0.1)`.execute(tx);
        }
      });
    await Promise.all([raise('a', 'b'), raise('b', 'a')]);
    const epochs = await database.read.selectFrom('tenants').select('access_epoch').execute();
    assert.deepEqual(epochs, [{ access_epoch: 2 }, { access_epoch: 2 }]);
  });

  test('a query of its own that loses a deadlock with a change of the schema runs again', async () => {
    const database = await open();
    const both = sql<{ count: number }>`select pg_sleep(0.5), count(*) as count from tenants, registries`;
    const changed = database.transaction(async (tx) => {
      await sql`lock table registries in access exclusive mode`.execute(tx);
      // By now the query holds the first table and waits for the second.
      await sql`select pg_sleep(0.3)`.execute(tx);
      await sql`lock table tenants in access exclusive mode`.execute(tx);
    });
    await sql`select pg_sleep(0.1)`.execute(database.read);
    const [read] = await Promise.all([both.execute(database.read), changed]);
    assert.deepEqual(
      read.rows.map((row) => row.count),
      [0],
    );
  });

  test('a migration that waits for a long reader lets others go on meanwhile, and runs again', async () => {
    const database = await open();
    const connectionString = placeOf(database).location;
    const pool = new Pool({ connectionString, max: 2, statement_timeout: 10_000 });
    const before = new Kysely<Schema>({ dialect: new PostgresDialect(pool, systemClock) });
    await sql`drop schema public cascade`.execute(before);
    await sql`create schema public`.execute(before);
    const early = Object.fromEntries(Object.entries(migrations('postgres')).filter(([migration]) => migration < '011'));
    const migrator = new Migrator({ db: before, provider: { getMigrations: async () => early } });
    assert.equal((await migrator.migrateToLatest()).error, undefined);
    const read = sql`select count(*) from registries`;
    const { promise: isOver, resolve: end } = Promise.withResolvers<void>();
    const reader = before.transaction().execute(async (tx) => {
      await read.execute(tx);
      await isOver;
    });
    const migrated = open({ again: database });
    await sleep(1_000);
    const startMs = performance.now();
    await read.execute(before);
    const waitedMs = performance.now() - startMs;
    end();
    await reader;
    await (await migrated).close();
    await pool.end();
    assert.ok(waitedMs < 3_000, `${waitedMs} ms`);
  });

  test('a transaction that swallowed the error of a statement does not pass for committed', async () => {
    const database = await open();
    await assert.rejects(
      database.transaction(async (tx) => {
        await sql`select no_such_column`.execute(tx).catch(() => {});
      }),
      /swallowed/,
    );
  });
});
