import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { temporaryFolder } from '../../../test/support/temporary-folder.ts';
import { BerthError } from '../../core/errors.ts';
import { HeldClock } from '../held-clock.ts';
import { systemIds } from '../system-ids.ts';
import { SqliteCheckpoints } from './sqlite-checkpoints.ts';
import { commitsInside, type SqliteCommits, SyncFailed } from './sqlite-commits.ts';
import { SqliteConnection } from './sqlite-connection.ts';
import { SqliteWriter } from './sqlite-writer.ts';

const folder = temporaryFolder('writer');
after(() => folder.remove());
let made = 0;

/** A disk that fails under a rollback. */
class FailingRollback extends SqliteConnection {
  override run(sql: string): void {
    if (sql === 'rollback') throw ioError();
    super.run(sql);
  }
}

function ioError(): Error {
  return Object.assign(new Error('disk I/O error'), { errcode: 10 });
}

type Faults = { readonly connection?: typeof SqliteConnection; readonly commits?: SqliteCommits };

function writerWith({ connection: Connection = SqliteConnection, commits }: Faults) {
  made += 1;
  const file = join(folder.path, `${made}.sqlite`);
  const connection = new Connection({ file, isReadOnly: false, busyTimeoutMs: 0, cacheKibibytes: 1_024 });
  const clock = new HeldClock();
  const given: SyncFailed[] = [];
  const onSyncFailed = (error: SyncFailed) => given.push(error);
  const checkpoints = new SqliteCheckpoints({ file, clock, log: undefined, onSyncFailed });
  const all = { connection, commits: commits ?? commitsInside(connection), checkpoints, clock, ids: systemIds };
  return { writer: new SqliteWriter({ ...all, onSyncFailed }), clock, given, connection };
}

const nothing = async () => {};
const isBusy = (error: unknown) => error instanceof BerthError && error.error === 'busy';

test('a rollback that fails is told to all of its group, and ends the process', async () => {
  const commit = async () => {
    throw ioError();
  };
  const { writer, given, connection } = writerWith({
    connection: FailingRollback,
    commits: { commit, close: () => {} },
  });
  const results = await Promise.allSettled([writer.transaction(nothing), writer.transaction(nothing)]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  await assert.rejects(
    writer.transaction(nothing),
    (error) => error instanceof BerthError && error.error === 'stopping',
  );
  assert.equal(given.length, 1);
  assert.ok(given[0] instanceof SyncFailed);
  await writer.finish();
  connection.close();
});

test('who waits for a disk that stalls is told after five seconds, and so are too many', async () => {
  const { promise: stalled, resolve: goOn } = Promise.withResolvers<void>();
  const { promise: isReached, resolve: reached } = Promise.withResolvers<void>();
  const commit = async () => {
    reached();
    await stalled;
    connection.run('commit');
  };
  const { writer, clock, connection } = writerWith({ commits: { commit, close: () => {} } });
  const first = writer.transaction(nothing);
  await isReached;
  const waiting = Array.from({ length: 10_000 }, () => writer.transaction(nothing));
  await assert.rejects(writer.transaction(nothing), isBusy);
  clock.advance(6_000);
  const results = await Promise.allSettled(waiting);
  assert.ok(results.every((result) => result.status === 'rejected' && isBusy(result.reason)));
  goOn();
  await first;
  await writer.transaction(nothing);
  await writer.finish();
  connection.close();
});
