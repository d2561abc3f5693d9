import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { BuildKitSettings } from '../../src/agent/executors/buildkit.ts';
import { parseBuildKitAddress } from '../../src/agent/executors/buildkit-address.ts';
import { openWorkbench, type Workbench } from '../end-to-end/workbench.ts';
import { BuildKitDaemon } from '../support/buildkit-daemon.ts';
import { BuildKitRoom, type BuildKitRoomOptions } from '../support/buildkit-room.ts';

// A server, rooms as runs have them, and a real BuildKit that builds on Debian. Nothing is stood in for.

let bench: Workbench;
let daemon: BuildKitDaemon;
let settings: BuildKitSettings;

before(async () => {
  bench = await openWorkbench({ settings: { builds: 'off' } });
  const credential = ['--dest-creds', `${bench.username}:${bench.password}`, '--dest-cert-dir', bench.certificates];
  await bench.run('skopeo', ['copy', ...credential, 'oci:samples:base', `docker://${bench.named.host}/debian:12`]);
  daemon = await BuildKitDaemon.start({
    folder: join(bench.folder, 'buildkit'),
    hosts: bench.hosts,
    registries: new Map([[bench.named.host, bench.server.caPath]]),
  });
  settings = {
    address: parseBuildKitAddress(daemon.address, undefined),
    program: daemon.buildctl,
    attestations: { provenance: 'off', sbomGenerator: undefined },
  };
});
after(async () => {
  await daemon?.stop();
  await bench[Symbol.asyncDispose]();
});

const openRoom = (options: Partial<BuildKitRoomOptions> = {}) => BuildKitRoom.open({ bench, settings, ...options });
const named = (name: string) => `${bench.named.host}/${name}`;

test('an image goes straight to the registry under all its names, and its base image is known by its digest', async () => {
  await using room = await openRoom({ masked: ['do-not-show-this'] });
  const tags = [named('app:v1'), named('app:latest')];
  const lines = [`FROM ${named('debian:12')}`, 'ARG SECRET', 'COPY note /note', 'RUN cat /note; echo "value $SECRET"'];
  await room.build(
    { Dockerfile: `${lines.join('\n')}\n`, note: 'written by the build\n' },
    { tags, arguments: new Map([['SECRET', 'do-not-show-this']]), labels: ['team=one, two'] },
  );
  assert.match(room.log, /#\d+ \[3\/3\] RUN cat \/note/);
  assert.match(room.log, /#\d+ \d+\.\d+ written by the build/);
  assert.match(room.log, /#\d+ \d+\.\d+ value \*\*\*/);
  assert.doesNotMatch(room.log, /do-not-show-this/);
  const [first, second] = [await bench.manifest('app', 'v1'), await bench.manifest('app', 'latest')];
  assert.equal(first?.mediaType, 'application/vnd.docker.distribution.manifest.v2+json');
  assert.equal(first.digest, second?.digest);
  for (const tag of tags) assert.equal(await room.executor.push(tag, room.options()), first.digest);
  const base = await bench.manifest('debian', '12');
  assert.equal(await room.executor.digestOf(named('debian:12'), new AbortController().signal), base?.digest);
});
