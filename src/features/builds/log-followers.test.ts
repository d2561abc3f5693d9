import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleBuilds, sampleBuilds } from '../../../test/support/sample-builds.ts';
import type { Database } from '../../platform/database/database.ts';
import { HeldClock } from '../../platform/held-clock.ts';
import type { RunOrder, RunResult } from '../../wire/builds/agent-protocol.ts';
import { LogFollowers } from './log-followers.ts';
import type { RunLog } from './run-logs.ts';

const done: RunResult = { status: 'Succeeded', images: [], dependencies: [] };
const line = Buffer.from('line\n');
const lineBytes = 'line\r\n'.length;

forEachDatabase((_, open) => {
  let database: Database;
  let sample: SampleBuilds;
  before(async () => {
    database = await open();
    sample = await sampleBuilds(database);
  });
  after(() => sample.close());

  /** Those of one process; `isApart` is one that takes nothing from agents. */
  const followersOf = ({ isApart = false } = {}) => {
    const held = new HeldClock();
    let begun = () => {};
    const clock = {
      ...{ nowMicros: held.nowMicros, monotonicMs: held.monotonicMs },
      sleep: (ms: number, signal?: AbortSignal) => {
        begun();
        return held.sleep(ms, signal);
      },
    };
    const leases = isApart ? { onLog: () => () => {} } : sample.leases;
    const followers = new LogFollowers({ database, clock, leases });
    const find = (runId: string) => () => sample.logs.find(sample.registryUid, runId);
    /** Asks how a log stands: how the answer came, and the answer. */
    const ask = async (runId: string, follower = 'one', gone = new AbortController().signal) => {
      const { promise, resolve } = Promise.withResolvers<'held'>();
      begun = () => resolve('held');
      const answer = followers.next(find(runId), follower, gone);
      return { how: await Promise.race([answer.then(() => 'at once' as const), promise]), answer };
    };
    const read = async (runId: string, endBytes: number, follower = 'one') => {
      const log = await find(runId)();
      followers.noteSent(log ?? assert.fail('it is there'), follower, endBytes);
    };
    /** Time goes on in steps, as what is waited for asks the database between them. */
    const advance = async (ms: number) => {
      for (let left = ms; left > 0; left -= 500) {
        held.advance(Math.min(left, 500));
        await sleep(20);
      }
    };
    return { followers, find, ask, read, advance };
  };
  const shown = (log: RunLog | undefined) => [log?.sizeBytes, log?.status];
  const schedule = async () => (await sample.runs.schedule(sample.newRun())).runId;
  const take = async (): Promise<RunOrder> => (await sample.take()) ?? assert.fail('no run waits');
  const begin = async () => {
    await schedule();
    return await take();
  };

  test('an answer is held for those alone who have read all that there is', async () => {
    const { followers, ask, read } = followersOf();
    const waiting = await schedule();
    assert.equal((await ask(waiting, 'earlier')).how, 'held', 'a run that waits for an agent');
    const order = await take();
    const early = await ask(order.runId);
    assert.equal(early.how, 'held', 'a run that printed nothing yet');
    await sample.leases.appendLog(order.lease, 0, line);
    await early.answer;
    assert.equal((await ask(order.runId)).how, 'at once', 'somebody who was sent nothing');
    await read(order.runId, lineBytes - 1);
    assert.equal((await ask(order.runId)).how, 'at once', 'somebody who was sent some of it');
    await read(order.runId, lineBytes);
    const gone = new AbortController();
    const all = await ask(order.runId, 'one', gone.signal);
    assert.equal(all.how, 'held', 'somebody who was sent all of it');
    gone.abort();
    await all.answer;
    await read(order.runId, 1);
    assert.equal((await ask(order.runId)).how, 'held', 'somebody who was sent its beginning once more');
    assert.equal((await ask(order.runId, 'other')).how, 'at once', 'another who was sent nothing');
    assert.equal((await ask('unknown')).how, 'at once', 'a run that is not there');
    await sample.leases.finish(order.lease, done);
    const { how, answer } = await ask(order.runId);
    assert.deepEqual([how, ...shown(await answer)], ['at once', lineBytes, 'Succeeded'], 'a run that has ended');
    followers.close();
  });

  test('it comes with the first byte, with the next, and with the end, without any time', async () => {
    const { followers, ask, read } = followersOf();
    const order = await begin();
    const first = await ask(order.runId);
    await sample.leases.appendLog(order.lease, 0, line);
    assert.deepEqual([first.how, ...shown(await first.answer)], ['held', lineBytes, undefined]);
    await read(order.runId, lineBytes);
    const next = await ask(order.runId);
    await sample.leases.appendLog(order.lease, line.length, line);
    assert.deepEqual([next.how, ...shown(await next.answer)], ['held', 2 * lineBytes, undefined]);
    await read(order.runId, 2 * lineBytes);
    const last = await ask(order.runId);
    await sample.leases.finish(order.lease, done);
    assert.deepEqual([last.how, ...shown(await last.answer)], ['held', 2 * lineBytes, 'Succeeded']);
    followers.close();
  });

  test('what came by another process, or by none, is found half a second later', async () => {
    const { followers, ask, read, advance } = followersOf({ isApart: true });
    const order = await begin();
    const grown = await ask(order.runId);
    await sample.leases.appendLog(order.lease, 0, line);
    await advance(500);
    assert.deepEqual([grown.how, ...shown(await grown.answer)], ['held', lineBytes, undefined]);
    await read(order.runId, lineBytes);
    const ended = await ask(order.runId);
    await sample.leases.finish(order.lease, done);
    await advance(500);
    assert.deepEqual([ended.how, ...shown(await ended.answer)], ['held', lineBytes, 'Succeeded']);
    const waiting = await schedule();
    const canceled = await ask(waiting);
    await sample.runs.cancel(sample.registryUid, waiting, 'olivia');
    await advance(500);
    assert.equal(canceled.how, 'held');
    assert.equal((await canceled.answer)?.status, 'Canceled');
    followers.close();
  });

  test('it comes without news after 20 seconds, and not before', async () => {
    const { followers, ask, advance } = followersOf();
    const { runId, lease } = await begin();
    const { how, answer } = await ask(runId);
    let isAnswered = false;
    const noted = answer.then(() => {
      isAnswered = true;
    });
    await advance(19_500);
    assert.deepEqual([how, isAnswered], ['held', false]);
    await advance(500);
    await noted;
    assert.deepEqual(shown(await answer), [0, undefined]);
    await sample.leases.finish(lease, done);
    followers.close();
  });

  test('it comes when the client is gone, and when the server stops', async () => {
    const { followers, ask } = followersOf();
    const { runId, lease } = await begin();
    const gone = new AbortController();
    const left = await ask(runId, 'one', gone.signal);
    gone.abort();
    await left.answer;
    const stopped = await ask(runId);
    followers.close();
    await stopped.answer;
    assert.deepEqual([left.how, stopped.how, (await ask(runId)).how], ['held', 'held', 'at once']);
    await sample.leases.finish(lease, done);
  });

  test('nothing is held any more for whoever asks again before it is answered, and its first answer has no news', async () => {
    const { followers, ask, read } = followersOf();
    const { runId, lease } = await begin();
    const first = await ask(runId);
    const second = await ask(runId);
    assert.deepEqual([first.how, second.how], ['held', 'at once']);
    assert.deepEqual([...shown(await first.answer), ...shown(await second.answer)], [0, undefined, 0, undefined]);
    assert.equal((await ask(runId)).how, 'at once');
    await sample.leases.appendLog(lease, 0, line);
    assert.deepEqual(shown(await (await ask(runId)).answer), [lineBytes, undefined]);
    await read(runId, lineBytes);
    assert.equal((await ask(runId)).how, 'at once');
    assert.equal((await ask(runId, 'other')).how, 'at once', 'it was sent nothing');
    await read(runId, lineBytes, 'other');
    assert.equal((await ask(runId, 'other')).how, 'held');
    followers.close();
    await sample.leases.finish(lease, done);
  });

  test('of two questions of one follower the later one alone has news that come at the same time', async () => {
    const { followers, find, ask } = followersOf();
    const { runId, lease } = await begin();
    const [looks, looked] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    let count = 0;
    const slowly = async () => {
      count += 1;
      const log = await find(runId)();
      if (count > 1) {
        looks.resolve();
        await looked.promise;
      }
      return log;
    };
    const first = followers.next(slowly, 'one', new AbortController().signal);
    while (count === 0 || (await ask(runId, 'other')).how !== 'held') await sleep(1);
    await sample.leases.appendLog(lease, 0, line);
    await looks.promise;
    const second = await ask(runId);
    looked.resolve();
    assert.deepEqual([second.how, ...shown(await second.answer)], ['at once', lineBytes, undefined]);
    assert.deepEqual(shown(await first), [0, undefined]);
    followers.close();
    await sample.leases.finish(lease, done);
  });

  test('who waits for a quiet log does not look again whenever another log grows, and misses nothing of its own', async () => {
    const { followers, find } = followersOf();
    const [quiet, busy] = [await begin(), await begin()];
    const growing = async (order: RunOrder, whose: RunOrder) => {
      let looks = 0;
      const gone = new AbortController();
      const answer = followers.next(
        async () => {
          const log = await find(quiet.runId)();
          looks += 1;
          if (looks <= 5) await sample.leases.appendLog(order.lease, (looks - 1) * line.length, line);
          return log;
        },
        'one',
        gone.signal,
      );
      if (order === whose) return [looks, ...shown(await answer)];
      await sleep(200);
      const before = looks;
      gone.abort();
      await answer;
      return [before];
    };
    assert.deepEqual(await growing(busy, quiet), [1]);
    assert.deepEqual((await growing(quiet, quiet)).slice(1), [lineBytes, undefined]);
    followers.close();
    for (const { lease } of [quiet, busy]) await sample.leases.finish(lease, done);
  });

  test('of one log 64 are held, and others at the same time', async () => {
    const { followers, ask } = followersOf();
    const [one, other] = [await begin(), await begin()];
    for (let count = 0; count < 64; count += 1) assert.equal((await ask(one.runId, `${count}`)).how, 'held');
    assert.equal((await ask(one.runId, '64')).how, 'at once');
    assert.equal((await ask(other.runId)).how, 'held');
    followers.close();
    for (const { lease } of [one, other]) await sample.leases.finish(lease, done);
  });
});
