import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { movedTagsSchema, tagDifferencesSchema } from '../../src/wire/acr/tag-moves-schema.ts';
import { sampleBlob, sampleImage } from '../support/oci-samples.ts';
import { run } from '../support/run.ts';
import { useWorkbench } from './workbench.ts';

const berth = `${import.meta.dirname}/../../bin/berth`;

/** What moved, put back where it was; and several tags moved at once. */
describe('tags put back and moved together', () => {
  const bench = useWorkbench();
  const send = async (
    method: string,
    path: string,
    body?: Uint8Array | string,
    headers: Record<string, string> = {},
  ) => {
    const authorization = `Basic ${Buffer.from(`${bench().username}:${bench().password}`).toString('base64')}`;
    const content = body === undefined ? {} : { body: Buffer.from(body) };
    return await fetch(`${bench().server.http}${path}`, { method, headers: { authorization, ...headers }, ...content });
  };
  const push = async (repository: string, tag: string): Promise<string> => {
    const config = sampleBlob();
    const type = { 'content-type': 'application/octet-stream' };
    await send('POST', `/v2/${repository}/blobs/uploads/?digest=${config.digest}`, config.bytes, type);
    const image = sampleImage([config]);
    const put = await send('PUT', `/v2/${repository}/manifests/${tag}`, image.bytes, {
      'content-type': image.mediaType,
    });
    assert.equal(put.status, 201);
    return image.digest;
  };
  /** An instant that no change shares its millisecond with. */
  const instant = async (): Promise<string> => {
    await sleep(5);
    const now = new Date().toISOString();
    await sleep(5);
    return now;
  };
  const at = async (repository: string, tag: string) =>
    (await send('HEAD', `/v2/${repository}/manifests/${tag}`)).headers.get('docker-content-digest');
  const command = async (...args: string[]) =>
    (await run(berth, ['tag', ...args, '--data', bench().server.dataFolder])).stdout.trim();

  test('tags that are named as these routes are shown and deleted as others', async () => {
    for (const tag of ['_diff', '_rollback']) {
      await push('named/app', tag);
      for (const word of ['_tags', '_usage'])
        assert.equal((await send('GET', `/acr/v1/named/app/${word}/${tag}`)).status, 200);
      assert.equal((await send('DELETE', `/acr/v1/named/app/_tags/${tag}`)).status, 202);
      assert.equal((await send('GET', `/acr/v1/named/app/_tags/${tag}`)).status, 404);
    }
  });

  test('a repository is compared with what it was, rolled back, and the rollback is undone', async () => {
    const first = await push('roll/app', 'latest');
    const good = await instant();
    const second = await push('roll/app', 'latest');
    await push('roll/app', 'extra');
    const bad = await instant();

    const diff = await send('GET', `/acr/v1/roll/app/_diff?from=${good}&to=${bad}`);
    const { tags } = tagDifferencesSchema.parse(await diff.json());
    assert.deepEqual(
      tags.map(({ tag, from }) => [tag, from]),
      [
        ['extra', null],
        ['latest', first],
      ],
    );
    assert.match(await command('diff', 'roll/app', '--from', good), /^latest +sha256/m);

    const dry = await command('rollback', 'roll/app', '--as-of', good, '--dry-run');
    assert.match(dry, new RegExp(`^roll/app:latest +${second} +${first}$`, 'm'));
    assert.equal(await at('roll/app', 'latest'), second, 'a dry run moves nothing');

    const answer = await send('POST', '/acr/v1/roll%2Fapp/_rollback', JSON.stringify({ asOf: good }));
    assert.equal(movedTagsSchema.parse(await answer.json()).moves.length, 2);
    assert.equal(await at('roll/app', 'latest'), first);
    assert.equal(await at('roll/app', 'extra'), null);

    await command('rollback', 'roll/app', '--as-of', bad, '--tag', 'latest');
    assert.equal(await at('roll/app', 'latest'), second);
    assert.equal(await at('roll/app', 'extra'), null, 'one tag alone is put back');
  });

  test('a release moves tags of two repositories, or neither', async () => {
    const [web, api] = [await push('shop/web', 'v1'), await push('shop/api', 'v1')];
    const release = {
      moves: [
        { repository: 'shop/web', tag: 'prod', digest: web, expected: null },
        { repository: 'shop/api', tag: 'prod', digest: api, expected: null },
      ],
    };
    const done = await send('POST', '/acr/v1/_release', JSON.stringify(release));
    assert.equal(done.status, 200, await done.clone().text());
    assert.deepEqual([await at('shop/web', 'prod'), await at('shop/api', 'prod')], [web, api]);

    const next = await push('shop/web', 'v2');
    const again = await send(
      'POST',
      '/acr/v1/_release',
      JSON.stringify({
        moves: [
          { repository: 'shop/web', tag: 'prod', digest: next, expected: web },
          { repository: 'shop/api', tag: 'prod', digest: null, expected: web },
        ],
      }),
    );
    assert.equal(again.status, 409);
    assert.match(await again.text(), /does not point where it was expected.*shop\/api/);
    assert.equal(await at('shop/web', 'prod'), web);

    await command('release', `shop/web:prod=${next}-${web},shop/api:prod=none`);
    assert.deepEqual([await at('shop/web', 'prod'), await at('shop/api', 'prod')], [next, null]);
  });

  test('what cannot be done is refused with its reason', async () => {
    const cases: readonly [method: string, path: string, body: string | undefined, status: number, says: RegExp][] = [
      ['POST', '/acr/v1/_release', '{"moves":[]}', 400, /at least one tag/],
      ['POST', '/acr/v1/_release', '{"moves":[{"repository":"a","tag":"b"}]}', 400, /moves\.0\.digest/],
      ['POST', '/acr/v1/_release', 'no json', 400, /moves/],
      [
        'POST',
        '/acr/v1/_release',
        `{"moves":[{"repository":"a","tag":"b","digest":"sha256:${'0'.repeat(64)}"}]}`,
        404,
        /MANIFEST_UNKNOWN/,
      ],
      ['GET', '/acr/v1/roll/app/_diff', undefined, 400, /from.*an instant is needed/],
      ['GET', '/acr/v1/roll/app/_rollback', undefined, 405, /UNSUPPORTED/],
      ['POST', '/acr/v1/roll/app/_rollback', '{"asOf":"yesterday"}', 400, /an instant is needed/],
      ['POST', '/acr/v1/roll/app/_rollback', '{"asOf":"2030-01-01T00:00:00Z","tag":"never"}', 404, /MANIFEST_UNKNOWN/],
    ];
    for (const [method, path, body, status, says] of cases) {
      const answer = await send(method, path, body);
      const text = await answer.text();
      assert.equal(answer.status, status, `${method} ${path}: ${text}`);
      assert.match(text, says);
    }
    const stranger = await fetch(`${bench().server.http}/acr/v1/_release`, {
      method: 'POST',
      body: `{"moves":[{"repository":"shop/web","tag":"b","digest":null}]}`,
    });
    assert.equal(stranger.status, 401);
  });
});
