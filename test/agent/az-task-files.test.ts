import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import type { Workbench } from '../end-to-end/workbench.ts';
import type { AzMachine } from '../support/az-machine.ts';
import { type BuildBench, openBuildBench } from '../support/build-bench.ts';
import { descriptorOf, hashOf, type SampleBlob, sampleBlob, sampleImage, sampleIndex } from '../support/oci-samples.ts';
import { pushSample } from '../support/push-sample.ts';

// Contexts of the form oci://, and what task files may say, with az, a server and the agent that it starts.

let bench: Workbench;
let az: AzMachine;
let folderOf: BuildBench['folderOf'];

before(async () => {
  ({ bench, az, folderOf } = await openBuildBench({ release: 'newest' }));
});
after(async () => {
  await bench[Symbol.asyncDispose]();
});

type File = { readonly title: string; readonly blob: SampleBlob; readonly isFolder?: boolean };

/** As ORAS pushes them: each with its name, a folder as an archive. */
async function pushFiles(repository: string, files: readonly File[]): Promise<void> {
  const config = sampleBlob('{}');
  const image = sampleImage([config], {
    layers: files.map(({ title, blob, isFolder = false }) => ({
      ...descriptorOf(blob, isFolder ? 'application/vnd.oci.image.layer.v1.tar+gzip' : 'application/octet-stream'),
      annotations: {
        'org.opencontainers.image.title': title,
        ...(isFolder ? { 'io.deis.oras.content.unpack': 'true' } : {}),
      },
    })),
  });
  const blobs = [config, ...files.map(({ blob }) => blob)];
  await pushSample(bench.server, repository, { blobs, image }, 'v1', image.digest);
  digests.set(repository, image.digest);
}
const digests = new Map<string, string>();

async function folderBlob(name: string, text: string): Promise<SampleBlob> {
  const archive = pack();
  archive.entry({ name }, text);
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) if (chunk instanceof Uint8Array) chunks.push(chunk);
  const bytes = gzipSync(Buffer.concat(chunks));
  return { bytes, digest: hashOf(bytes) };
}

test('files and folders of an artifact are what is built, by its tag or by its digest', async () => {
  await pushFiles('sources', [
    { title: 'Dockerfile', blob: sampleBlob('FROM scratch\nCOPY src/note /note\n') },
    { title: 'src', blob: await folderBlob('src/note', 'of the artifact'), isFolder: true },
  ]);
  const output = await az.type(`az acr build -r local -t by-tag:v1 oci://${bench.named.host}/sources:v1`);
  assert.match(output, /Successfully pushed image: \S+\/by-tag:v1/);
  const address = `oci://${bench.named.host}/sources@${digests.get('sources')}`;
  assert.match(await az.type(`az acr build -r local -t by-digest:v1 ${address}`), /was successful/);
  assert.notEqual(await bench.manifest('by-digest', 'v1'), undefined);
});

test('steps of an artifact', async () => {
  const steps =
    'version: v1.1.0\nsteps:\n  - build: -t stepped:{{.Values.tag}} .\n  - push: ["stepped:{{.Values.tag}}"]\n';
  await pushFiles('steps', [
    { title: 'acb.yaml', blob: sampleBlob(steps) },
    { title: 'values.yaml', blob: sampleBlob('tag: of-a-file\n') },
    { title: 'Dockerfile', blob: sampleBlob('FROM scratch\nCOPY acb.yaml /\n') },
  ]);
  const line = `az acr run -r local -f acb.yaml --values values.yaml oci://${bench.named.host}/steps:v1`;
  assert.match(await az.type(line), /was successful/);
  assert.notEqual(await bench.manifest('stepped', 'of-a-file'), undefined);
});

test('what cannot be fetched, or would leave the folder, says why', async () => {
  await pushFiles('leaves', [{ title: '../../escaped', blob: sampleBlob('x') }]);
  const index = sampleIndex([sampleImage([sampleBlob('{}')])]);
  await pushSample(
    bench.server,
    'leaves',
    { blobs: [sampleBlob('{}')], image: sampleImage([sampleBlob('{}')]) },
    'empty',
  );
  await pushSample(bench.server, 'leaves', { blobs: [], image: index }, 'index');
  const refused = async (reference: string) =>
    await az.refused(`az acr build -r local -t never:v1 oci://${bench.named.host}/${reference}`);
  assert.match(await refused('leaves:v1'), /a file whose name leaves it/);
  assert.match(await refused('leaves:empty'), /holds no files/);
  assert.match(await refused('leaves:index'), /is an index: name one of its manifests/);
  assert.match(await refused('nowhere:v1'), /cannot fetch oci:\/\/\S+\/nowhere \(manifests\/v1\): 404/);
  assert.match(
    await az.refused('az acr build -r local -t never:v1 oci://169.254.169.254/a:v1'),
    /the address is not allowed/,
  );
});

test('words that a task gives a meaning to, by itself and by a file; ports and networks of its own', async () => {
  const folder = folderOf('steps', {
    'aliases.yaml': 'greeting: from a file of the context\n',
    'acb.yaml': `version: v1.1.0
alias:
  values:
    bash: "{{.Run.Registry}}/debian:12 bash"
  src: [aliases.yaml]
networks:
  - name: own
    isDefault: true
  - name: apart
steps:
  - id: service
    cmd: bash -c 'sleep 600'
    detach: true
    ports: ["8080:80"]
  - cmd: bash -c 'echo "$greeting, $(getent hosts service)"'
    env: ["WORD={{.Values.word}}"]
  - cmd: bash -c 'echo "past the proxy $NO_PROXY"; getent hosts service || echo "knows no service"'
    network: apart
  - cmd: docker run --network apart {{.Run.Registry}}/debian:12 bash -c 'getent hosts service || echo "nor does this"'
  - cmd: docker stop service
  - cmd: docker run -d --name db {{.Run.Registry}}/debian:12 sleep 600
  - cmd: bash -c 'getent hosts db'
  - id: beside
    cmd: bash -c true
    when: ["-"]
`,
  });
  const output = await az.type(`az acr run -r local -f acb.yaml ${folder}`);
  assert.match(output, /from a file of the context, 10\.88\.\d+\.\d+\s+service/);
  assert.match(output, /past the proxy \S+,service,db\S*\s+knows no service\s[\s\S]*nor does this/);
  assert.doesNotMatch(output, /past the proxy \S+,beside/);
  assert.match(output, /10\.88\.\d+\.\d+\s+db\s/);
  const refused = await az.refused(`az acr run -r local --cmd 'bash echo' --set x=y /dev/null`);
  assert.match(refused, /the alias stands for that image: put it there/);
});

test('networks that steps make: a container under more names, on a second one, and off the first', async () => {
  const inNetwork = (network: string, line: string) =>
    `  - cmd: docker run --network ${network} {{.Run.Registry}}/debian:12 bash -c '${line}'`;
  const lines = [
    'version: v1.1.0\nsteps:',
    '  - cmd: docker network create front\n  - cmd: docker network create back',
    '  - cmd: docker run -d --name db --network back --network-alias store {{.Run.Registry}}/debian:12 sleep 600',
    inNetwork('back', 'getent hosts store'),
    inNetwork('front', 'getent hosts db || echo "knows no db"'),
    '  - cmd: docker network connect --alias shelf front db',
    inNetwork('front', 'getent hosts shelf'),
    '  - cmd: docker network disconnect back db',
    inNetwork('back', 'getent hosts store || echo "store is gone"'),
    '  - cmd: docker network prune -f\n  - cmd: docker network ls\n  - cmd: docker network rm front',
  ];
  const folder = folderOf('made-networks', { 'acb.yaml': `${lines.join('\n')}\n` });
  const output = await az.refused(`az acr run -r local -f acb.yaml ${folder}`);
  assert.match(output, /10\.88\.\d+\.\d+\s+db store/);
  assert.match(output, /knows no db/);
  assert.match(output, /10\.89\.\d+\.\d+\s+db shelf/);
  assert.match(output, /store is gone\s[\s\S]*Deleted Networks:\s+back\s[\s\S]*front {2}bridge/);
  assert.match(output, /containers are on the network front: db; stop them before/);
});
