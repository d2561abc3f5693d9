import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { storageFlags } from '../support/samples.ts';
import { debianClient } from './client.ts';
import { type Target, useWorkbench } from './workbench.ts';

describe('buildah', () => {
  const bench = useWorkbench();
  const buildah = debianClient(bench, 'buildah', ({ folder }) => storageFlags(folder));
  const skopeo = debianClient(bench, 'skopeo');

  const trust = (target: Target) => (target.tls ? ['--cert-dir', bench().certificates] : ['--tls-verify=false']);
  const login = (target: Target) =>
    buildah.run(['login', ...trust(target), '-u', bench().username, '--password-stdin', target.host], {
      input: bench().password,
    });
  const scratchFile = (text: string) => bench().file('Scratch', `FROM scratch\nLABEL text="${text}"\nCOPY note /\n`);

  for (const name of ['http', 'https', 'named'] as const) {
    test(`builds, pushes and pulls over ${name}`, async () => {
      const target = bench()[name];
      const image = `${target.host}/buildah/${name}:v1`;
      await login(target);
      bench().file('note', `built for ${name}\n`);
      await buildah.run(['build', '-f', scratchFile(name), '-t', image, '.']);
      await buildah.run(['push', ...trust(target), image]);
      assert.notEqual(await bench().manifest(`buildah/${name}`, 'v1'), undefined);
      await buildah.run(['rmi', '--all', '--force']);
      await buildah.run(['pull', ...trust(target), image]);
      const container = (await buildah.run(['from', '--pull-never', image])).trim();
      const mounted = (await buildah.run(['mount', container])).trim();
      assert.equal(await bench().run('cat', [`${mounted}/note`]), `built for ${name}\n`);
      await buildah.run(['rm', '--all']);
    });
  }

  test('builds on a Debian base that it pulls from the registry, with cached layers kept there', async () => {
    const target = bench().named;
    const base = `${target.host}/buildah/base:bookworm`;
    await login(target);
    await skopeo.run(['copy', '--dest-cert-dir', bench().certificates, 'oci:samples:base', `docker://${base}`]);
    bench().file('note', 'on Debian\n');
    bench().file('App', `FROM ${base}\nCOPY note /note\nRUN . /etc/os-release && echo "$VERSION_CODENAME" >> /note\n`);
    const image = `${target.host}/buildah/app:v1`;
    await buildah.run(['build', '--isolation', 'chroot', '--layers', ...trust(target), '-f', 'App', '-t', image, '.']);
    await buildah.run(['push', ...trust(target), image]);
    const container = (await buildah.run(['from', '--pull-never', image])).trim();
    const note = await buildah.run(['run', '--isolation', 'chroot', container, 'cat', '/note']);
    assert.equal(note, 'on Debian\nbookworm\n');
  });

  test('pushes an index of two platforms', async () => {
    const target = bench().https;
    await login(target);
    bench().file('note', 'for two platforms\n');
    const platforms = ['--platform', 'linux/amd64,linux/arm64', '--manifest', 'localhost/two'];
    await buildah.run(['build', ...platforms, '-f', scratchFile('two'), '.']);
    const image = `docker://${target.host}/buildah/index:v1`;
    await buildah.run(['manifest', 'push', '--all', ...trust(target), 'localhost/two', image]);
    const index = await bench().manifest('buildah/index', 'v1');
    for (const architecture of ['amd64', 'arm64']) {
      assert.match(index?.text ?? '', new RegExp(`"architecture":"${architecture}"`));
    }
  });
});
