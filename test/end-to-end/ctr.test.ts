import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type Containerd, startContainerd } from '../support/containerd.ts';
import { debianClient } from './client.ts';
import { type Target, useWorkbench } from './workbench.ts';

describe("containerd's ctr", () => {
  const bench = useWorkbench();
  let containerd: Containerd | undefined;
  const ctr = debianClient(bench, 'ctr', () => ['--address', containerd?.address ?? '']);

  before(async () => {
    containerd = await startContainerd(bench().folder);
    await bench().run('tar', ['-C', bench().samples.layout, '-cf', 'layout.tar', '.']);
    await ctr.run(['images', 'import', '--base-name', 'sample', '--all-platforms', 'layout.tar']);
  });
  after(async () => await containerd?.stop());

  const access = (target: Target) => [...trust(target), ...['--user', `${bench().username}:${bench().password}`]];
  const trust = (target: Target) => {
    if (!target.tls) return ['--plain-http'];
    if (target === bench().named) return ['--tlscacert', bench().server.caPath];
    return ['--hosts-dir', hostsFolder(target)];
  };
  /** ctr takes every localhost for plain http unless a hosts folder says otherwise. */
  const hostsFolder = (target: Target) => {
    const folder = join(bench().folder, 'hosts.d');
    mkdirSync(join(folder, target.host), { recursive: true });
    writeFileSync(join(folder, target.host, 'hosts.toml'), hostsToml(target, bench().server.caPath));
    return folder;
  };
  const digestOf = async (image: string) =>
    (await ctr.run(['images', 'ls', `name==${image}`])).match(/sha256:[0-9a-f]{64}/)?.[0];

  for (const name of ['http', 'https', 'named'] as const) {
    test(`pushes a two-platform index and pulls it back over ${name}`, async () => {
      const target = bench()[name];
      const image = `${target.host}/ctr/${name}:multi`;
      await ctr.run(['images', 'push', ...access(target), image, 'sample:multi']);
      assert.equal((await bench().manifest(`ctr/${name}`, 'multi'))?.digest, bench().samples.digests.multi);
      await ctr.run(['images', 'rm', '--sync', image]);
      await ctr.run(['images', 'pull', '--all-platforms', ...access(target), image]);
      assert.equal(await digestOf(image), bench().samples.digests.multi);
    });
  }

  test('pulls into an empty store and runs the image', async () => {
    const target = bench().named;
    const image = `${target.host}/ctr/run:app`;
    await ctr.run(['images', 'push', ...access(target), image, 'sample:app']);
    await ctr.run(['images', 'rm', '--sync', 'sample:app', 'sample:base', 'sample:multi', image]);
    await ctr.run(['images', 'pull', ...access(target), image]);
    assert.equal(await ctr.run(['run', '--rm', image, 'greeting']), 'hello from the sample\n');
  });
});

/** Source: containerd documentation, "Registry Configuration", hosts.toml. */
function hostsToml({ host }: Target, caPath: string): string {
  return `server = "https://${host}"
[host."https://${host}"]
  capabilities = ["pull", "resolve", "push"]
  ca = "${caPath}"
`;
}
