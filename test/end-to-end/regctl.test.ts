import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { goClient } from './client.ts';
import { type Target, useWorkbench } from './workbench.ts';

describe('regctl', () => {
  const bench = useWorkbench();
  const regctl = goClient(bench, 'regctl');

  const login = async (target: Target) => {
    await regctl.run(['registry', 'set', target.host, '--skip-check', '--tls', target.tls ? 'enabled' : 'disabled']);
    await regctl.run(['registry', 'login', target.host, '-u', bench().username, '--pass-stdin'], {
      input: bench().password,
    });
  };

  for (const name of ['http', 'https', 'named'] as const) {
    test(`copies an index, lists, adds an artifact and deletes over ${name}`, async () => {
      const target = bench()[name];
      const repository = `${target.host}/regctl/${name}`;
      const { layout, digests } = bench().samples;
      await login(target);
      await regctl.run(['image', 'copy', `ocidir://${layout}:multi`, `${repository}:multi`]);
      assert.equal((await regctl.run(['image', 'digest', `${repository}:multi`])).trim(), digests.multi);
      assert.equal((await bench().manifest(`regctl/${name}`, 'multi'))?.digest, digests.multi);
      assert.equal(await regctl.run(['tag', 'ls', repository]), 'multi\n');
      assert.match(await regctl.run(['repo', 'ls', target.host]), new RegExp(`^regctl/${name}$`, 'm'));
      await regctl.run(
        ['artifact', 'put', '--artifact-type', 'application/vnd.example.note', '--subject', `${repository}:multi`],
        { input: 'a note' },
      );
      assert.match(await regctl.run(['artifact', 'list', `${repository}:multi`]), /application\/vnd\.example\.note/);
      await regctl.run(['image', 'copy', `${repository}:multi`, `ocidir://back-${name}:multi`]);
      await regctl.run(['tag', 'rm', `${repository}:multi`]);
      assert.equal(await bench().manifest(`regctl/${name}`, 'multi'), undefined);
      assert.notEqual(await bench().manifest(`regctl/${name}`, digests.multi), undefined);
    });
  }

  test('builds an index from two images that are there', async () => {
    const target = bench().http;
    const repository = `${target.host}/regctl/index`;
    await login(target);
    await regctl.run(['image', 'copy', `ocidir://${bench().samples.layout}:app`, `${repository}:app`]);
    await regctl.run([
      'index',
      'create',
      `${repository}:both`,
      '--ref',
      `${repository}:app`,
      '--platform',
      'linux/amd64',
    ]);
    assert.match((await bench().manifest('regctl/index', 'both'))?.text ?? '', new RegExp(bench().samples.digests.app));
  });
});
