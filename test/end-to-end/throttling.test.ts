import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { waitFor } from '../support/wait-for.ts';
import { debianClient } from './client.ts';
import { openWorkbench, useWorkbench, type Workbench } from './workbench.ts';

const berth = join(import.meta.dirname, '../../bin/berth');
/** Of one identity in a Premium registry. Source: ACR semantics, "Request rate limits". */
const deletesPerMinute = 2_000;

describe('throttling', () => {
  const settings = { 'throttle-pause': '3s', 'log-level': 'debug', 'log-format': 'json' };
  const bench = useWorkbench({ settings });
  const skopeo = debianClient(bench, 'skopeo');

  test('skopeo waits as long as it is told, and then deletes', async () => {
    const { layout } = bench().samples;
    const image = `docker://${bench().http.host}/throttled/app:v1`;
    const credentials = `${bench().username}:${bench().password}`;
    await skopeo.run(['copy', '--dest-creds', credentials, '--dest-tls-verify=false', `oci:${layout}:app`, image]);
    await command(bench(), 'registry', 'throttling', 'local', 'on');

    const { refused } = await sendDeletes(bench(), 20 * deletesPerMinute, 'until one is refused');
    assert.equal(refused?.status, 429);
    assert.match(refused.headers.get('retry-after') ?? '', /^[123]$/);
    const isRefused = () =>
      requestsIn(bench().server.log()).some(
        ({ method, status, userAgent }) => method === 'DELETE' && status === 429 && userAgent?.startsWith('skopeo'),
      );
    // However long it takes to begin, others have used up by then what may be deleted.
    const crowd = new AbortController();
    const crowding = (async () => {
      while (!crowd.signal.aborted) await sendDeletes(bench(), 16);
    })();
    const deleting = skopeo.run(['delete', '--creds', credentials, '--tls-verify=false', image]);
    await waitFor('it is refused first', 60_000, isRefused).finally(() => crowd.abort());
    await crowding;
    await deleting;
    assert.equal(await bench().manifest('throttled/app', 'v1'), undefined);
  });

  test('a replay of the log says who would have been refused, and which SKU would do', async () => {
    const log = bench().file('server.log', bench().server.log());
    const told = await command(bench(), 'throttle', 'replay', log, '--sku', 'Basic');
    assert.match(told, /^local +local +delete +\d+ +\d+ +[1-9]\d* +500 delete of the identity$/m);
    assert.match(told, /Basic would have refused \d+ of \d+ requests\. Even Premium would have refused some\./);
    const older = JSON.parse(await command(bench(), 'throttle', 'replay', log, '--json', '--throttle-table', 'older'));
    assert.partialDeepStrictEqual(older, { sku: 'Basic' });
    assert.match(await refusal(bench(), 'throttle', 'replay', join(bench().folder, 'nothing.log')), /ENOENT/);
    assert.match(await refusal(bench(), 'throttle', 'replay', bench().file('empty.log', '\n')), /tells of no requests/);
  });

  test('switched off again, nobody is held back', async () => {
    const shown = JSON.parse(await command(bench(), 'registry', 'throttling', 'local', 'off', '--json'));
    assert.partialDeepStrictEqual(shown, { name: 'local', throttlingEnabled: false });
    const { served, refused } = await sendDeletes(bench(), deletesPerMinute + 100);
    assert.deepEqual([served, refused], [deletesPerMinute + 100, undefined]);
  });
});

describe('throttling of several processes', () => {
  test('two workers let through what one bucket holds, within 5 %', async () => {
    await using bench = await openWorkbench({ settings: { workers: '2' } });
    await command(bench, 'registry', 'throttling', 'local', 'on');
    const { served, seconds, refused } = await sendDeletes(bench, deletesPerMinute * 2);
    assert.equal(refused?.status, 429);
    const held = deletesPerMinute * (1 + Math.min(seconds, 60) / 60);
    assert.ok(served >= deletesPerMinute * 0.95, `${served} served`);
    assert.ok(served <= held * 1.05, `${served} served in ${seconds} s`);
  });
});

/** Deletes what is not there, many at once; answers how many were not refused, and the first refusal. */
async function sendDeletes(bench: Workbench, times: number, how: 'all' | 'until one is refused' = 'all') {
  const startedMs = performance.now();
  let left = times;
  let served = 0;
  let refused: Response | undefined;
  const send = async () => {
    while (left > 0 && (how === 'all' || refused === undefined)) {
      left -= 1;
      const answer = await bench.request('DELETE', '/v2/throttled/app/manifests/nothing');
      await answer.arrayBuffer();
      if (answer.status === 404) served += 1;
      else refused ??= answer;
    }
  };
  await Promise.all(Array.from({ length: 16 }, send));
  return { served, refused, seconds: (performance.now() - startedMs) / 1_000 };
}

async function command(bench: Workbench, ...args: readonly string[]): Promise<string> {
  return await bench.run(berth, [...args, '--data', bench.server.dataFolder]);
}

async function refusal(bench: Workbench, ...args: readonly string[]): Promise<string> {
  return await bench.fail(berth, [...args, '--data', bench.server.dataFolder]);
}

const requestSchema = z.object({
  msg: z.literal('request'),
  method: z.string(),
  status: z.int(),
  userAgent: z.string().optional(),
});

function requestsIn(log: string) {
  return log.split('\n').flatMap((line) => {
    const parsed = line.startsWith('{') ? requestSchema.safeParse(JSON.parse(line)) : undefined;
    return parsed?.success ? [parsed.data] : [];
  });
}
