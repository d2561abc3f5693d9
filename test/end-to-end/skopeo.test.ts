import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { debianClient } from './client.ts';
import { type Target, useWorkbench } from './workbench.ts';

describe('skopeo', () => {
  const bench = useWorkbench();
  const skopeo = debianClient(bench, 'skopeo');

  const trust = (target: Target, side = '') =>
    target.tls ? [`--${side}cert-dir`, bench().certificates] : [`--${side}tls-verify=false`];
  const login = (target: Target) =>
    skopeo.run(['login', ...trust(target), '-u', bench().username, '--password-stdin', target.host], {
      input: bench().password,
    });

  for (const name of ['http', 'https', 'named'] as const) {
    test(`copies, inspects, syncs and deletes over ${name}`, async () => {
      const target = bench()[name];
      const repository = `skopeo/${name}`;
      const image = `docker://${target.host}/${repository}:multi`;
      const { layout, digests } = bench().samples;
      await login(target);
      await skopeo.run([
        'copy',
        '--all',
        '--preserve-digests',
        ...trust(target, 'dest-'),
        `oci:${layout}:multi`,
        image,
      ]);
      assert.equal((await bench().manifest(repository, 'multi'))?.digest, digests.multi);
      const seen: unknown = JSON.parse(await skopeo.run(['inspect', ...trust(target), image]));
      assert.partialDeepStrictEqual(seen, { Digest: digests.multi, RepoTags: ['multi'], Architecture: 'amd64' });
      await skopeo.run([
        'sync',
        '--all',
        '--src',
        'docker',
        '--dest',
        'dir',
        ...trust(target, 'src-'),
        `${target.host}/${repository}`,
        `synced-${name}`,
      ]);
      assert.deepEqual(readdirSync(join(bench().folder, `synced-${name}`)), [`${name}:multi`]);
      await skopeo.run([
        'sync',
        '--all',
        '--src',
        'dir',
        '--dest',
        'docker',
        ...trust(target, 'dest-'),
        `synced-${name}`,
        `${target.host}/skopeo-back`,
      ]);
      assert.equal((await bench().manifest(`skopeo-back/${name}`, 'multi'))?.digest, digests.multi);
      await skopeo.run(['delete', ...trust(target), image]);
      assert.equal(await bench().manifest(repository, 'multi'), undefined);
    });
  }

  test('converts to docker schema 2 and back to the same content', async () => {
    const target = bench().http;
    const image = `docker://${target.host}/skopeo/docker:app`;
    await login(target);
    await skopeo.run([
      'copy',
      '--format',
      'v2s2',
      ...trust(target, 'dest-'),
      `oci:${bench().samples.layout}:app`,
      image,
    ]);
    assert.equal(
      (await bench().manifest('skopeo/docker', 'app'))?.mediaType,
      'application/vnd.docker.distribution.manifest.v2+json',
    );
    await skopeo.run(['copy', ...trust(target, 'src-'), image, 'oci:back:app']);
  });

  test('lists tags, and logs out', async () => {
    const target = bench().named;
    await login(target);
    await skopeo.run([
      'copy',
      ...trust(target, 'dest-'),
      `oci:${bench().samples.layout}:app`,
      `docker://${target.host}/skopeo/tags:one`,
    ]);
    const listed: unknown = JSON.parse(
      await skopeo.run(['list-tags', ...trust(target), `docker://${target.host}/skopeo/tags`]),
    );
    assert.partialDeepStrictEqual(listed, { Tags: ['one'] });
    await skopeo.run(['logout', target.host]);
    assert.match(
      await skopeo.fail(['list-tags', ...trust(target), `docker://${target.host}/skopeo/tags`]),
      /authentication required|unauthorized/i,
    );
  });
});
