import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Workbench } from '../end-to-end/workbench.ts';
import type { AzMachine } from '../support/az-machine.ts';
import { type BuildBench, openBuildBench } from '../support/build-bench.ts';
import { BuildKitDaemon } from '../support/buildkit-daemon.ts';
import { goTool } from '../support/go-tools.ts';
import { run } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// az, a server, and the agent that it starts, which builds with a BuildKit.

const berth = join(import.meta.dirname, '../../bin/berth');
const place = temporaryFolder('buildkit');
const settings = { buildkit: `unix://${place.path}/daemon/socket`, 'buildkit-provenance': 'min' };
let bench: Workbench;
let az: AzMachine;
let folderOf: BuildBench['folderOf'];
let daemon: BuildKitDaemon;

before(async () => {
  ({ bench, az, folderOf } = await openBuildBench({ settings: { ...settings, buildctl: await goTool('buildctl') } }));
});
after(async () => {
  await bench[Symbol.asyncDispose]();
  await daemon?.stop();
  place.remove();
});

const check = async () =>
  await run(berth, [
    'doctor',
    '--data',
    bench.server.dataFolder,
    '--buildkit',
    settings.buildkit,
    '--buildctl',
    await goTool('buildctl'),
  ]).then(({ stdout }) => stdout);

test('doctor names a BuildKit that is not there, and what it is when it is', async () => {
  assert.match(await check(), /builds cannot be done here: BuildKit at unix:\S+ cannot be reached/);
  daemon = await BuildKitDaemon.start({
    folder: join(place.path, 'daemon'),
    hosts: bench.hosts,
    registries: new Map([[bench.named.host, bench.server.caPath]]),
  });
  assert.match(await check(), /builds can be done here: buildah \S+, runc \S+, BuildKit \S+/);
  assert.match(await check(), /BuildKit \S+ at unix:\S+ builds for linux\/amd64/);
});

test('a folder becomes an image, with its log, its dependencies and what is attached to it', async () => {
  const folder = folderOf('app', {
    Dockerfile: 'FROM REGISTRY/debian:12\nARG SECRET\nCOPY note /note\nRUN cat /note; echo "value $SECRET"\n',
    note: 'written by the build\n',
  });
  const output = await az.type(
    `az acr build -r local -t app:{{.Run.ID}} -t app:latest --secret-build-arg SECRET=do-not-show-this ${folder}`,
  );
  assert.match(output, /#\d+ \d+\.\d+ written by the build/);
  assert.match(output, /value \*\*\*/);
  assert.doesNotMatch(output, /do-not-show-this/);
  assert.match(output, /Successfully pushed image: \S+\/app:latest/);
  assert.match(
    output,
    /runtime-dependency:\s+registry: \S+\s+repository: debian\s+tag: 12\s+digest: sha256:[0-9a-f]{64}/,
  );
  assert.match((await bench.manifest('app', 'latest'))?.text ?? '', /attestation-manifest/);
});

test('a build that fails, and one that pushes nothing', async () => {
  const failing = folderOf('failing', { Dockerfile: 'FROM REGISTRY/debian:12\nRUN echo before; exit 7\n' });
  const output = await az.refused(`az acr build -r local -t failing:v1 ${failing}`);
  assert.match(output, /failed to run step ID: build: exit status 7/);
  assert.equal(await bench.manifest('failing', 'v1'), undefined);
  const kept = folderOf('kept', { Dockerfile: 'FROM REGISTRY/debian:12\nRUN echo only built\n' });
  assert.match(await az.type(`az acr build -r local -t kept:v1 --no-push ${kept}`), /only built/);
  assert.equal(await bench.manifest('kept', 'v1'), undefined);
});

test('steps use what was built before it is pushed', async () => {
  const folder = folderOf('steps', {
    Dockerfile: 'FROM REGISTRY/debian:12\nCOPY note /note\n',
    note: 'from the context\n',
    'acb.yaml':
      'version: v1.1.0\nsteps:\n  - build: -t stepped:$ID .\n  - cmd: docker run stepped:$ID cat /note\n  - push: ["stepped:$ID"]\n',
  });
  const output = await az.type(`az acr run -r local -f acb.yaml ${folder}`);
  assert.match(output, /from the context/);
  assert.match(output, /Successfully pushed image: \S+\/stepped:\w+/);
});
