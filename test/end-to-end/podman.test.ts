import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { storageFlags } from '../support/samples.ts';
import { debianClient } from './client.ts';
import { type Target, useWorkbench } from './workbench.ts';

describe('podman', () => {
  const bench = useWorkbench();
  const podman = debianClient(bench, 'podman', ({ folder }) => [
    ...storageFlags(folder),
    ...['--tmpdir', join(folder, 'libpod'), '--events-backend', 'file'],
    ...['--runtime', 'runc', '--cgroup-manager', 'cgroupfs'],
  ]);

  const trust = (target: Target) => (target.tls ? ['--cert-dir', bench().certificates] : ['--tls-verify=false']);
  const login = (target: Target) =>
    podman.run(['login', ...trust(target), '-u', bench().username, '--password-stdin', target.host], {
      input: bench().password,
    });
  const pull = async (...args: readonly string[]) => (await podman.run(['pull', '-q', ...args])).trim();

  for (const name of ['http', 'https', 'named'] as const) {
    test(`logs in, pushes, pulls and logs out over ${name}`, async () => {
      const target = bench()[name];
      const image = `${target.host}/podman/${name}:v1`;
      assert.match(await login(target), /Login Succeeded!/);
      const loaded = await pull('--arch', 'arm64', 'oci:samples:multi');
      await podman.run(['push', ...trust(target), loaded, image]);
      assert.match((await bench().manifest(`podman/${name}`, 'v1'))?.text ?? '', new RegExp(`"sha256:${loaded}"`));
      await podman.run(['rmi', '--all', '--force']);
      assert.equal(await pull(...trust(target), image), loaded);
      await podman.run(['logout', target.host]);
      assert.match(await podman.fail(['pull', '-q', ...trust(target), image]), /authentication required|unauthorized/i);
    });
  }

  test('pushes a Debian image, pulls it back and runs it', async () => {
    const target = bench().named;
    const image = `${target.host}/podman/debian:v1`;
    await login(target);
    await podman.run(['push', ...trust(target), await pull('oci:samples:app'), image]);
    await podman.run(['rmi', '--all', '--force']);
    await pull(...trust(target), image);
    // Limits below this process's own, which a confined machine does not let it raise.
    const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024'];
    const output = await podman.run(['run', '--rm', '--network', 'none', '--pull', 'never', ...limits, image]);
    assert.equal(output, 'hello from the sample\n');
  });

  test('pushes a two-platform index and pulls the platform asked for', async () => {
    const target = bench().https;
    const image = `${target.host}/podman/index:v1`;
    await login(target);
    await podman.run(['manifest', 'create', 'localhost/two']);
    await podman.run(['manifest', 'add', '--all', 'localhost/two', 'oci:samples:multi']);
    await podman.run(['manifest', 'push', '--all', ...trust(target), 'localhost/two', `docker://${image}`]);
    assert.match((await bench().manifest('podman/index', 'v1'))?.text ?? '', new RegExp(bench().samples.digests.app));
    const arm = await pull('--arch', 'arm64', ...trust(target), image);
    assert.equal((await podman.run(['inspect', '--format', '{{.Architecture}}', arm])).trim(), 'arm64');
  });
});
