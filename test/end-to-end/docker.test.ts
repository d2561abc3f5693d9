import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Docker, startDocker } from '../support/docker.ts';
import { withPrivateMounts } from '../support/private-mounts.ts';
import { Client, debianClient, hostsFile } from './client.ts';
import { type Target, useWorkbench } from './workbench.ts';

describe('docker', () => {
  const bench = useWorkbench();
  let engine: Docker | undefined;
  const docker = new Client(bench, (_, args) => {
    assert.ok(engine !== undefined);
    return withPrivateMounts(engine.mounts, 'docker', ['--host', engine.address, ...args]);
  });
  const skopeo = debianClient(bench, 'skopeo');

  before(async () => {
    const { folder, https, named, server } = bench();
    engine = await startDocker({
      folder,
      hosts: [https.host, named.host],
      caPath: server.caPath,
      mounts: [hostsFile(bench())],
    });
    await skopeo.run(['copy', 'oci:samples:app', 'docker-archive:app.tar:sample:app']);
    await docker.run(['load', '-i', 'app.tar']);
  });
  after(async () => await engine?.stop());

  const login = (target: Target) =>
    docker.run(['login', target.host, '-u', bench().username, '--password-stdin'], { input: bench().password });

  for (const name of ['http', 'https', 'named'] as const) {
    test(`logs in, pushes a Debian image, pulls it, runs it and logs out over ${name}`, async () => {
      const target = bench()[name];
      const image = `${target.host}/docker/${name}:v1`;
      assert.match(await login(target), /Login Succeeded/);
      await docker.run(['tag', 'sample:app', image]);
      const pushed = await docker.run(['push', image]);
      const digest = /digest: (sha256:[0-9a-f]{64})/.exec(pushed)?.[1];
      assert.equal((await bench().manifest(`docker/${name}`, 'v1'))?.digest, digest);
      assert.match(await docker.run(['push', image]), /Layer already exists/);
      await docker.run(['rmi', '-f', image]);
      assert.match(await docker.run(['pull', image]), new RegExp(`Digest: ${digest}`));
      assert.equal(await docker.run(['run', '--rm', '--network', 'none', image]), 'hello from the sample\n');
      await docker.run(['rmi', '-f', image]);
      await docker.run(['pull', `${target.host}/docker/${name}@${digest}`]);
      await docker.run(['logout', target.host]);
      // For names of this machine docker falls back from https to plain http and shows only the latter's end.
      const reason = target.tls ? /unauthorized|authentication required|EOF/i : /unauthorized|authentication required/i;
      assert.match(await docker.fail(['pull', image]), reason);
    });
  }

  test('mounts layers from another repository instead of pushing them again', async () => {
    const target = bench().named;
    await login(target);
    for (const repository of ['docker/mount/from', 'docker/mount/to']) {
      await docker.run(['tag', 'sample:app', `${target.host}/${repository}:v1`]);
    }
    await docker.run(['push', `${target.host}/docker/mount/from:v1`]);
    assert.match(await docker.run(['push', `${target.host}/docker/mount/to:v1`]), /Mounted from docker\/mount\/from/);
  });

  test('pushes all tags of a repository, and pulls them all', async () => {
    const target = bench().http;
    const repository = `${target.host}/docker/tags`;
    await login(target);
    for (const tag of ['one', 'two', 'three']) await docker.run(['tag', 'sample:app', `${repository}:${tag}`]);
    await docker.run(['push', '--all-tags', repository]);
    for (const tag of ['one', 'two', 'three']) await docker.run(['rmi', `${repository}:${tag}`]);
    await docker.run(['pull', '--all-tags', repository]);
    const listed = await docker.run(['images', '--format', '{{.Tag}}', repository]);
    assert.deepEqual(listed.trim().split('\n').sort(), ['one', 'three', 'two']);
  });

  test('docker manifest makes, annotates, pushes and shows a list of two platforms', async () => {
    // `docker manifest` speaks plain http with every name of this machine.
    const target = bench().http;
    const repository = `${target.host}/docker/list`;
    await login(target);
    const trust = ['--dest-tls-verify=false', '--dest-creds', `${bench().username}:${bench().password}`];
    for (const [tag, architecture] of [
      ['a', 'amd64'],
      ['b', 'arm64'],
    ] as const) {
      const copy = ['--override-arch', architecture, 'copy', '--format', 'v2s2', ...trust];
      await skopeo.run([...copy, 'oci:samples:multi', `docker://${repository}:${tag}`]);
    }
    await docker.run(['manifest', 'create', '--insecure', `${repository}:both`, `${repository}:a`, `${repository}:b`]);
    await docker.run([
      'manifest',
      'annotate',
      '--arch',
      'arm64',
      '--variant',
      'v8',
      `${repository}:both`,
      `${repository}:b`,
    ]);
    await docker.run(['manifest', 'push', '--insecure', '--purge', `${repository}:both`]);
    const list = await bench().manifest('docker/list', 'both');
    assert.equal(list?.mediaType, 'application/vnd.docker.distribution.manifest.list.v2+json');
    assert.match(await docker.run(['manifest', 'inspect', '--insecure', `${repository}:both`]), /"variant": "v8"/);
    assert.match(await docker.run(['pull', `${repository}:both`]), new RegExp(`Digest: ${list?.digest}`));
  });
});
