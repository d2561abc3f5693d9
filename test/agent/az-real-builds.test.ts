import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import type { Workbench } from '../end-to-end/workbench.ts';
import { armCaller } from '../support/arm-caller.ts';
import type { AzMachine } from '../support/az-machine.ts';
import { type BuildBench, openBuildBench } from '../support/build-bench.ts';
import { waitFor } from '../support/wait-for.ts';

// az, a server, and the agent that it starts: images are really built, by buildah, on Debian. Nothing is stood in for.

let bench: Workbench;
let az: AzMachine;
let folderOf: BuildBench['folderOf'];

before(async () => {
  ({ bench, az, folderOf } = await openBuildBench());
});
after(async () => {
  await bench[Symbol.asyncDispose]();
});

const run = (files: Readonly<Record<string, string>>, more = '') =>
  az.type(`az acr run -r local -f acb.yaml ${more} ${folderOf('run', files)}`);
const runRefused = (files: Readonly<Record<string, string>>, more = '') =>
  az.refused(`az acr run -r local -f acb.yaml ${more} ${folderOf('run', files)}`);

test('a folder becomes an image in the registry, and the log tells of it', async () => {
  const folder = folderOf('app', {
    Dockerfile: 'FROM REGISTRY/debian:12\nARG SECRET\nCOPY note /note\nRUN cat /note; echo "value $SECRET"\n',
    note: 'written by the build\n',
  });
  const output = await az.type(
    `az acr build -r local -t app:{{.Run.ID}} -t app:latest --secret-build-arg SECRET=do-not-show-this ${folder}`,
  );
  assert.match(output, /written by the build/);
  assert.match(output, /value \*\*\*/);
  assert.doesNotMatch(output, /do-not-show-this/);
  assert.match(output, /Successfully pushed image: \S+\/app:latest/);
  assert.match(
    output,
    /runtime-dependency:\s+registry: \S+\s+repository: debian\s+tag: 12\s+digest: sha256:[0-9a-f]{64}/,
  );
  assert.match(output, /Run ID: \w+ was successful after \d+s/);
  assert.notEqual(await bench.manifest('app', 'latest'), undefined);
});

test('several stages, a target, and a file of its own', async () => {
  const folder = folderOf('stages', {
    'My.Dockerfile':
      'FROM REGISTRY/debian:12 AS build\nRUN echo made > /made\nFROM scratch AS small\nCOPY --from=build /made /made\nFROM build AS other\nRUN false\n',
  });
  const output = await az.type(`az acr build -r local -t small:v1 --target small -f ${folder}/My.Dockerfile ${folder}`);
  assert.match(output, /buildtime-dependency:/);
  assert.notEqual(await bench.manifest('small', 'v1'), undefined);
});

test('a build that fails says where, pushes nothing, and is Failed', async () => {
  const folder = folderOf('failing', { Dockerfile: 'FROM REGISTRY/debian:12\nRUN echo before; exit 7\n' });
  const output = await az.refused(`az acr build -r local -t failing:v1 ${folder}`);
  assert.match(output, /before/);
  assert.match(output, /failed to run step ID: build: exit status 7/);
  assert.match(output, /Run failed/);
  assert.equal(await bench.manifest('failing', 'v1'), undefined);
});

test('steps: files between them, names on the network, secrets, parallel ones, docker commands', async () => {
  const output = await run(
    {
      Dockerfile: 'FROM REGISTRY/debian:12\nCOPY note /note\n',
      note: 'from the context',
      'acb.yaml': `version: v1.1.0
volumes:
  - name: keys
    secret:
      key: ${btoa('volume content')}
steps:
  - id: service
    cmd: $Registry/debian:12 bash -c 'echo service $(hostname); sleep 600'
    detach: true
  - id: left
    cmd: $Registry/debian:12 bash -c 'getent hosts service; cat /keys/key; echo; echo left > left'
    when: [service]
    volumeMounts: [{name: keys, mountPath: /keys}]
  - id: right
    cmd: $Registry/debian:12 bash -c 'echo right {{.Values.word}} $ID > right'
    when: [service]
  - id: build
    build: -t stepped:$ID .
    when: [left, right]
  - cmd: docker run stepped:$ID cat /note /workspace/left /workspace/right
  - cmd: docker tag stepped:$ID again:$ID
  - push: ["again:$ID"]
  - cmd: docker stop service
`,
    },
    '--set word=given',
  );
  assert.match(output, /10\.88\.\d+\.\d+\s+service/);
  assert.match(output, /volume content/);
  assert.match(output, /from the contextleft\s+right given \w+/);
  assert.match(output, /Successfully pushed image: \S+\/again:\w+/);
  assert.match(output, /was successful/);
});

test('what a step may not: a shell of ours, files of the machine, the address of another service', async () => {
  const shell = await runRefused({ 'acb.yaml': 'steps:\n  - cmd: REGISTRY/debian:12 echo a; id\n' });
  assert.match(shell, /the command needs a shell for ";"/);
  const outside = await runRefused({ 'acb.yaml': 'steps:\n  - build: -t x -f /etc/passwd /etc\n' });
  assert.match(outside, /"\/etc" is not among the files of the run/);
  const probe = `for port in ${bench.server.ports.http} 22; do (exec 3<>/dev/tcp/10.88.0.1/$port) 2>/dev/null && echo reached $port; done; ls /sys/class/net; true`;
  const network = await run({ 'acb.yaml': `steps:\n  - cmd: REGISTRY/debian:12 bash -c '${probe}'\n` });
  assert.doesNotMatch(network, /reached/);
});

test('a step that takes too long, one that is ignored, and one that is tried again', async () => {
  const output = await run({
    'acb.yaml': `steps:
  - id: slow
    cmd: REGISTRY/debian:12 sleep 600
    timeout: 2
    ignoreErrors: true
  - id: twice
    cmd: REGISTRY/debian:12 bash -c 'test -e tried || { touch tried; exit 3; }'
    retries: 1
    retryDelay: 1
`,
  });
  assert.match(output, /Step ID: slow encountered an error: context deadline exceeded, but is set to ignore errors/);
  assert.match(output, /Container failed during run: twice, waiting 1 seconds before retrying/);
  assert.match(output, /was successful/);
});

test('processes without end and files without end harm their run alone', async () => {
  const bomb = ':() { : | : & }; :; wait';
  const forks = await runRefused({
    'acb.yaml': `steps:\n  - cmd: REGISTRY/debian:12 bash -c '${bomb}; exit 9'\n    timeout: 6\n`,
  });
  assert.match(forks, /Run failed/);
  const alive = await run({ 'acb.yaml': 'steps:\n  - cmd: REGISTRY/debian:12 echo still here\n' });
  assert.match(alive, /still here/);
});

test('several platforms make one index, also put together by hand; layers are kept between runs', async () => {
  const files = {
    Scratch: 'FROM scratch\nCOPY note /note\n',
    Kept: 'FROM REGISTRY/debian:12\nRUN echo built at $(date +%N) > /when; cat /when\n',
    note: 'for all\n',
    'acb.yaml': `version: v1.1.0
steps:
  - build: -t multi:v1 --platform linux/amd64,linux/arm64 -f Scratch .
  - push: ["multi:v1"]
  - build: -t one:v1 --platform linux/amd64 -f Scratch .
  - build: -t two:v1 --platform linux/arm64 -f Scratch .
  - push: ["one:v1", "two:v1"]
  - cmd: docker manifest create both:v1 one:v1 two:v1
  - cmd: docker manifest push both:v1
  - build: -t kept:v1 -f Kept .
    cache: enabled
`,
  };
  assert.match(await run(files), /built at \d+/);
  for (const index of ['multi', 'both']) {
    const { text = '' } = (await bench.manifest(index, 'v1')) ?? {};
    assert.match(text, /"architecture":"amd64"/);
    assert.match(text, /"architecture":"arm64"/);
  }
  assert.doesNotMatch(await run(files), /built at \d+/);
});

test('a run that is cancelled ends at once, with what it had printed', async () => {
  const folder = folderOf('run', {
    'acb.yaml': 'steps:\n  - cmd: REGISTRY/debian:12 bash -c "echo begun; sleep 600"\n',
  });
  await az.type(`az acr run -r local -f acb.yaml --no-wait ${folder}`);
  const listed = await az.json('az acr task list-runs -r local --top 1');
  const [newest] = z.array(z.looseObject({ runId: z.string() })).parse(listed);
  const runId = newest?.runId ?? '';
  const arm = await armCaller(bench.server);
  await waitFor('it has printed', 120_000, async () => {
    const { logLink } = z.looseObject({ logLink: z.string() }).parse(await arm.post(`runs/${runId}/listLogSasUrl`));
    const { pathname, search } = new URL(logLink);
    return /^begun\r?$/m.test(await (await fetch(`${bench.server.http}${pathname}${search}`)).text());
  });
  await az.type(`az acr task cancel-run -r local --run-id ${runId}`);
  const output = await az.type(`az acr task logs -r local --run-id ${runId}`);
  assert.match(output, /begun/);
  assert.match(output, /was canceled/);
});

test('nothing is left of runs that have ended', async () => {
  const agentFolder = join(bench.server.dataFolder, 'agent');
  await waitFor(
    'folders of runs are gone',
    60_000,
    () => existsSync(agentFolder) && readdirSync(agentFolder).length === 0,
  );
});
