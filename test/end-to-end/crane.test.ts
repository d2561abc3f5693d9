import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { goClient } from './client.ts';
import { useWorkbench } from './workbench.ts';

describe('crane', () => {
  const bench = useWorkbench();
  const crane = goClient(bench, 'crane');

  for (const target of ['http', 'https', 'named'] as const) {
    test(`pushes, reads, copies and deletes an index over ${target}`, async () => {
      const { host } = bench()[target];
      const { layout, digests } = bench().samples;
      const repository = `crane/${target}`;
      await crane.run(['auth', 'login', host, '-u', bench().username, '--password-stdin'], { input: bench().password });
      await crane.run(['push', '--index', layout, `${host}/${repository}:all`]);
      const pushed = await bench().manifest(repository, 'all');
      assert.equal((await crane.run(['digest', `${host}/${repository}:all`])).trim(), pushed?.digest);
      await crane.run(['copy', `${host}/${repository}@${digests.multi}`, `${host}/${repository}/copy:multi`]);
      assert.equal((await bench().manifest(`${repository}/copy`, 'multi'))?.digest, digests.multi);
      assert.equal(await crane.run(['ls', `${host}/${repository}/copy`]), 'multi\n');
      assert.match(await crane.run(['catalog', host]), new RegExp(`^${repository}/copy$`, 'm'));
      await crane.run(['tag', `${host}/${repository}/copy:multi`, 'second']);
      await crane.run(['validate', '--remote', `${host}/${repository}/copy:second`]);
      await crane.run(['pull', `${host}/${repository}/copy:second`, `pulled-${target}.tar`]);
      await crane.run(['delete', `${host}/${repository}/copy@${digests.multi}`]);
      assert.equal(await bench().manifest(`${repository}/copy`, digests.multi), undefined);
    });
  }

  test('logs out: what was open to the person is closed again', async () => {
    const { host } = bench().http;
    await crane.run(['auth', 'login', host, '-u', bench().username, '-p', bench().password]);
    await crane.run(['catalog', host]);
    await crane.run(['auth', 'logout', host]);
    assert.match(await crane.fail(['catalog', host]), /UNAUTHORIZED: authentication required/);
  });
});
