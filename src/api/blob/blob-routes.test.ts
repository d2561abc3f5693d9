import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { type SampleBuilds, sampleBuilds } from '../../../test/support/sample-builds.ts';
import { blobContainer } from '../../features/builds/blob-addresses.ts';
import { LogFollowers } from '../../features/builds/log-followers.ts';
import type { Database } from '../../platform/database/database.ts';
import { systemClock } from '../../platform/system-clock.ts';
import type { RunOrder, RunResult } from '../../wire/builds/agent-protocol.ts';
import { renderFailure } from '../middleware/render-failure.ts';
import { blobRoutes } from './blob-routes.ts';

const failed: RunResult = { status: 'Failed', images: [], dependencies: [] };
const size = 'content-length';
const az = { 'user-agent': 'Azure-Storage/2.0.0-2.0.0 (Python CPython 3.11.2; Linux 6.1.0)' };

forEachDatabase((_, open) => {
  let database: Database;
  let builds: SampleBuilds;
  let logFollowers: LogFollowers;
  let routes: ReturnType<typeof blobRoutes>;
  let held = () => {};
  before(async () => {
    database = await open();
    builds = await sampleBuilds(database);
    const sleep = (ms: number, signal?: AbortSignal) => {
      held();
      return systemClock.sleep(ms, signal);
    };
    logFollowers = new LogFollowers({ database, clock: { ...systemClock, sleep }, leases: builds.leases });
    routes = blobRoutes({
      builds: { ...builds, logFollowers },
      transfer: { minBytesPerSecond: 1, windowMs: 30_000 },
      clock: systemClock,
    });
    routes.onError(renderFailure(builds.log));
  });
  after(async () => {
    logFollowers.close();
    await builds.close();
  });

  const begin = async (): Promise<RunOrder> => {
    await builds.runs.schedule(builds.newRun());
    return (await builds.take()) ?? assert.fail('it waits');
  };
  const addressOf = (runId: string) =>
    builds.addresses.sign(`/${blobContainer}/logs/${builds.registryUid}/${runId}.log`, 'r');
  const head = async (address: string, headers: Readonly<Record<string, string>> = {}) =>
    await routes.request(address, { method: 'HEAD', headers: { ...az, ...headers } });
  const get = async (address: string, range: string) =>
    await (await routes.request(address, { headers: { 'x-ms-range': range } })).text();
  /** Asks how a log stands, and does something once the answer is held. */
  const headWhile = async (address: string, meanwhile: () => Promise<unknown>) => {
    const waits = new Promise<void>((resolve) => {
      held = resolve;
    });
    const answer = head(address);
    await waits;
    await meanwhile();
    return await answer;
  };

  test('a log is followed to its end, as az does it, by answers that all have news', async () => {
    const { runId, lease } = await begin();
    const address = addressOf(runId);
    const first = await headWhile(address, () => builds.leases.appendLog(lease, 0, Buffer.from('one\n')));
    assert.deepEqual([first.status, first.headers.get(size)], [200, '5']);
    assert.equal((await head(address)).headers.get(size), '5', 'it has read none of it');
    assert.equal(await get(address, 'bytes=0-4095'), 'one\r\n');
    const second = await headWhile(address, () => builds.leases.appendLog(lease, 4, Buffer.from('two\n')));
    assert.deepEqual([second.headers.get(size), second.headers.get('x-ms-meta-complete')], ['10', null]);
    assert.equal(await get(address, 'bytes=5-4100'), 'two\r\n');
    const last = await headWhile(address, () => builds.leases.finish(lease, failed));
    assert.deepEqual([last.headers.get(size), last.headers.get('x-ms-meta-complete')], ['10', 'failed']);
    assert.equal((await head(address)).headers.get('x-ms-meta-complete'), 'failed');
  });

  test('whoever asks with a condition, by an address without an id, or for a log that is gone, is answered at once', async () => {
    const { runId, lease } = await begin();
    const address = addressOf(runId);
    const date = new Date(0).toUTCString();
    for (const [name, value] of [
      ['if-match', '*'],
      ['if-none-match', '"0x1"'],
      ['if-modified-since', date],
      ['if-unmodified-since', date],
    ] as const)
      assert.equal((await head(address, { [name]: value })).headers.get(size), '0', name);
    for (const other of [address.replace(/&scid=[^&]+/, ''), address.replace(/scid=[^&]+/, 'scid=x')])
      assert.deepEqual([(await head(other)).status, await (await routes.request(other)).text()], [200, ''], other);
    const unknown = await head(addressOf('zz99'));
    assert.deepEqual([unknown.status, unknown.headers.get('x-ms-error-code')], [404, 'BlobNotFound']);
    await builds.leases.finish(lease, failed);
  });

  test('who asks by a timer, as the Docker extension of VS Code does, sees each line once, and all of them', async () => {
    const { runId, lease } = await begin();
    const address = addressOf(runId);
    let [start, text, isComplete] = [0, '', false];
    /** What it does each second, whatever became of the times before. */
    const tick = async () => {
      const answer = await head(address, { 'user-agent': 'Azure-Storage/2.10.3 (NODE-VERSION v18.0.0; Linux 6.1.0)' });
      if (Number(answer.headers.get(size)) > start) {
        const more = await get(address, `bytes=${start}-`);
        start += more.length;
        text += more;
      }
      isComplete = answer.headers.has('x-ms-meta-complete');
    };
    const ticks: Promise<void>[] = [];
    const seconds = async (count: number) => {
      for (let left = count; left > 0; left -= 1) {
        const ticked = tick();
        ticks.push(ticked);
        await Promise.race([ticked, setTimeout(100)]);
      }
    };
    await seconds(5);
    await builds.leases.appendLog(lease, 0, Buffer.from('one\n'));
    await seconds(3);
    await builds.leases.appendLog(lease, 4, Buffer.from('two\n'));
    await builds.leases.finish(lease, failed);
    await seconds(1);
    await Promise.all(ticks);
    assert.deepEqual([text, isComplete], ['one\r\ntwo\r\n', true]);
  });

  test('what a follower was sent and did not take is news for it', async () => {
    const { runId, lease } = await begin();
    const address = addressOf(runId);
    await builds.leases.appendLog(lease, 0, Buffer.from('one\n'));
    const cut = await routes.request(address);
    await cut.body?.cancel();
    assert.equal((await head(address)).headers.get(size), '5');
    assert.equal(await get(address, 'bytes=0-'), 'one\r\n');
    const answer = await headWhile(address, () => builds.leases.finish(lease, failed));
    assert.equal(answer.headers.get('x-ms-meta-complete'), 'failed');
  });

  test('two addresses of one log are two followers', async () => {
    const { runId, lease } = await begin();
    const [one, other] = [addressOf(runId), addressOf(runId)];
    await builds.leases.appendLog(lease, 0, Buffer.from('one\n'));
    await get(one, 'bytes=0-');
    assert.equal((await head(other)).headers.get(size), '5');
    await builds.leases.finish(lease, failed);
  });
});
