import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import type { BuildKitSettings } from '../../src/agent/executors/buildkit.ts';
import { connectBuildKit, parseBuildKitAddress, type TlsFiles } from '../../src/agent/executors/buildkit-address.ts';
import { checkBuildKit } from '../../src/agent/executors/buildkit-check.ts';
import { openBuildKitDoor } from '../../src/agent/executors/buildkit-door.ts';
import { openWorkbench, type Workbench } from '../end-to-end/workbench.ts';
import { BuildKitDaemon, ownCertificate } from '../support/buildkit-daemon.ts';
import { BuildKitRoom, type BuildKitRoomOptions } from '../support/buildkit-room.ts';
import { freePort } from '../support/free-port.ts';
import { waitFor } from '../support/wait-for.ts';

// A server, rooms as runs have them, and a real BuildKit that builds on Debian. Nothing is stood in for.

let bench: Workbench;
let daemon: BuildKitDaemon;
let settings: BuildKitSettings;
/** Where it listens too, for those with a certificate. */
let tcp: string;
let tls: TlsFiles;

before(async () => {
  bench = await openWorkbench({ settings: { builds: 'off' } });
  const credential = ['--dest-creds', `${bench.username}:${bench.password}`, '--dest-cert-dir', bench.certificates];
  await bench.run('skopeo', ['copy', ...credential, 'oci:samples:base', `docker://${bench.named.host}/debian:12`]);
  tls = await ownCertificate(join(bench.folder, 'tls'));
  tcp = `tcp://127.0.0.1:${await freePort()}`;
  daemon = await BuildKitDaemon.start({
    args: ['--addr', tcp, '--tlscacert', tls.ca, '--tlscert', tls.certificate, '--tlskey', tls.key],
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
  const digests = await room.executor.digestsOf([named('debian:12')], new AbortController().signal);
  assert.equal(digests.get(named('debian:12')), base?.digest);
});

test('several platforms make one index; what is not pushed stays in the run, for its later steps', async () => {
  await using room = await openRoom();
  const platforms = (['amd64', 'arm64'] as const).map((architecture) => ({ os: 'linux' as const, architecture }));
  const files = { Dockerfile: 'FROM scratch\nCOPY note /note\n', note: 'for all\n' };
  await room.build(files, { tags: [named('multi:v1')], platforms });
  const { text = '' } = (await bench.manifest('multi', 'v1')) ?? {};
  assert.match(text, /"architecture": ?"amd64"/);
  assert.match(text, /"architecture": ?"arm64"/);
  assert.doesNotMatch(text, /attestation/);

  await room.build(files, { tags: [named('later:v1')], platforms, pushes: false });
  await room.build(files, { tags: [named('one:v1'), named('one:v2')], pushes: false });
  assert.equal(await bench.manifest('later', 'v1'), undefined);
  assert.equal(await bench.manifest('one', 'v1'), undefined);
  await room.executor.tag(named('one:v1'), named('two:v1'), room.options());
  for (const name of ['later', 'one', 'two']) {
    const digest = await room.executor.push(named(`${name}:v1`), room.options());
    assert.equal((await bench.manifest(name, 'v1'))?.digest, digest);
  }
  assert.match((await bench.manifest('later', 'v1'))?.text ?? '', /arm64/);
});

test('a target, a secret file, and a Dockerfile elsewhere', async () => {
  await using room = await openRoom();
  const secret = `${room.cell.folder}/secrets/key`;
  await room.cell.read(['tee', secret], { input: Buffer.from('of the volume') });
  const stages = [
    `FROM ${named('debian:12')} AS build`,
    'RUN --mount=type=secret,id=key wc -c < /run/secrets/key > /made',
    'FROM scratch AS small',
    'COPY --from=build /made /made',
    'FROM build AS other',
    'RUN false',
  ];
  const dockerfile = `${room.cell.folder}/workspace/deploy/My.Dockerfile`;
  await room.build(
    { 'deploy/My.Dockerfile': `${stages.join('\n')}\n` },
    { dockerfile, tags: [named('small:v1')], target: 'small', secrets: [`id=key,src=${secret}`] },
  );
  assert.notEqual(await bench.manifest('small', 'v1'), undefined);
});

test('a list of what is in an image and how it was made are attached where that is asked for; secrets are in neither', async () => {
  const generator = named('sbom-generator:v1');
  await using room = await openRoom();
  const scan = [`FROM ${named('debian:12')}`, 'COPY --chmod=755 scan /scan', 'ENTRYPOINT ["/scan"]'];
  const script = `#!/bin/bash
name=$(basename "$BUILDKIT_SCAN_SOURCE")
printf '{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"https://spdx.dev/Document","predicate":{"SPDXID":"SPDXRef-DOCUMENT","name":"found %s files"}}' \\
  "$(find "$BUILDKIT_SCAN_SOURCE" -type f | wc -l)" > "$BUILDKIT_SCAN_DESTINATION/$name.spdx.json"
`;
  await room.build({ Dockerfile: `${scan.join('\n')}\n`, scan: script }, { tags: [generator] });

  const attestations = { provenance: 'max', sbomGenerator: generator } as const;
  await using attested = await openRoom({ settings: { ...settings, attestations }, masked: ['not-for-everybody'] });
  const files = { Dockerfile: 'FROM scratch\nARG OPEN\nCOPY note /note\n', note: 'one file\n' };
  await attested.build(files, { tags: [named('open:v1')], arguments: new Map([['OPEN', 'for-everybody']]) });
  const open = await statementsOf('open', 'v1');
  assert.match(open, /"name":"found 1 files"/);
  assert.match(open, /https:\/\/slsa\.dev\/provenance/);
  assert.match(open, /for-everybody/);
  await attested.build(files, { tags: [named('closed:v1')], arguments: new Map([['OPEN', 'not-for-everybody']]) });
  const closed = await statementsOf('closed', 'v1');
  assert.match(closed, /https:\/\/slsa\.dev\/provenance/);
  assert.doesNotMatch(closed, /not-for-everybody/);
});

test('layers are kept in the registry between runs', async () => {
  const files = { Dockerfile: `FROM ${named('debian:12')}\nRUN echo built at $(date +%N) | tee /when\n` };
  const asked = { tags: [named('kept:v1')], cacheRepository: named('kept/berth-cache') };
  await using first = await openRoom();
  await first.build(files, asked);
  assert.match(first.log, /#\d+ \d+\.\d+ built at \d+/);
  await daemon.forget();
  await using second = await openRoom();
  await second.build(files, asked);
  assert.match(second.log, /importing cache manifest from/);
  assert.match(second.log, /#\d+ CACHED/);
  assert.doesNotMatch(second.log, /#\d+ \d+\.\d+ built at/);
  await second.build(files, { ...asked, hasCache: false, cacheRepository: undefined });
  assert.match(second.log, /#\d+ \d+\.\d+ built at \d+/);
});

test('a build that fails says where, with the code of the command, and pushes nothing', async () => {
  await using room = await openRoom();
  const files = { Dockerfile: `FROM ${named('debian:12')}\nRUN echo before; exit 7\n` };
  await assert.rejects(room.build(files, { tags: [named('failing:v1')] }), { name: 'ProgramError', exitCode: 7 });
  assert.match(room.log, /before/);
  assert.match(room.log, /ERROR: process .* did not complete successfully: exit code: 7/);
  assert.equal(await bench.manifest('failing', 'v1'), undefined);
  await assert.rejects(room.build(files, { isSquashed: true }), /--squash is not done by BuildKit/);
});

test('a build that is cancelled ends in BuildKit too, and leaves nothing in its room', async () => {
  await using room = await openRoom();
  const stop = new AbortController();
  const files = { Dockerfile: `FROM ${named('debian:12')}\nRUN echo begun; sleep 4567\n` };
  const building = room.build(files, { tags: [named('endless:v1')] }, stop.signal);
  await waitFor('it is at work', 180_000, () => room.log.includes('begun') && isRunning('sleep\x004567\x00'));
  stop.abort(new Error('it was canceled'));
  await assert.rejects(building, /it was canceled/);
  await waitFor('it has ended in BuildKit', 60_000, () => !isRunning('sleep\x004567\x00'));
  assert.doesNotMatch(await room.cell.read(['ls', `${room.cell.folder}/tmp`]), /buildkit-/);
});

test('arguments are in no list of processes and in no history of BuildKit', async () => {
  await using room = await openRoom();
  const value = 'a-value-that-nobody-lists';
  const lines = [`FROM ${named('debian:12')}`, 'ARG GIVEN', 'RUN echo begun; sleep 5; test "$GIVEN"'];
  const building = room.build({ Dockerfile: `${lines.join('\n')}\n` }, { arguments: new Map([['GIVEN', value]]) });
  await waitFor('it is at work', 180_000, () => room.log.includes('begun'));
  assert.deepEqual(
    commandLines().filter((line) => line.includes(value) || line.includes(bench.password)),
    [],
  );
  await building;
  assert.doesNotMatch(await daemon.history(), /\S+\s+\d{4}|Completed/);
});

test('cached folders are those of builds of one registry', async () => {
  let looks = 0;
  const lookIn = async (cacheNamespace: string) => {
    await using room = await openRoom({ cacheNamespace });
    looks += 1;
    const run = `RUN --mount=type=cache,id=shared,target=/c echo "look ${looks} has: $(ls /c)."; touch /c/left`;
    await room.build({ Dockerfile: `FROM ${named('debian:12')}\n${run}\n` }, { tags: [] });
    return /\d has: (\w*)\./.exec(room.log)?.[1];
  };
  assert.equal(await lookIn('one.test'), '');
  assert.equal(await lookIn('two.test'), '');
  assert.equal(await lookIn('one.test'), 'left');
});

test('without a network, RUN has none', async () => {
  await using room = await openRoom({ hasNetwork: false });
  const lines = [`FROM ${named('debian:12')}`, 'RUN echo "devices: $(ls /sys/class/net | tr "\\n" " ")."'];
  await room.build({ Dockerfile: `${lines.join('\n')}\n` }, {});
  assert.match(room.log, /devices: lo \./);
});

test('without a network, BuildKit itself fetches nothing but images of the registry, and runs no other frontend', async () => {
  const asked: string[] = [];
  const elsewhere = createServer((request, response) => {
    asked.push(request.url ?? '');
    response.end('from elsewhere');
  }).listen(0, '127.0.0.1');
  await once(elsewhere, 'listening');
  const address = elsewhere.address();
  assert(typeof address === 'object' && address !== null);
  const there = `127.0.0.1:${address.port}`;
  const base = `FROM ${named('debian:12')}`;
  const build = async (...lines: string[]) => {
    await using room = await openRoom({ hasNetwork: false });
    const failure = await room.build({ Dockerfile: `${lines.join('\n')}\n` }, {}).catch((cause: unknown) => cause);
    return failure === undefined ? 'built' : room.log;
  };
  try {
    const plain = await build(`# syntax=${there}/frontend`, base, 'RUN true');
    assert.equal(plain, 'built');
    for (const lines of [
      [base, `ADD http://${there}/file /file`],
      [base, `ARG WHERE=http://${there}/file`, 'ADD $WHERE /file'],
      [base, `ADD git://${there}/team/app.git /app`],
      [base, `COPY --from=${there}/image:v1 / /`],
      [`FROM ${there}/image:v1`],
    ])
      assert.match(await build(...lines), /denied by policy/, lines.join());
    assert.deepEqual(asked, []);
  } finally {
    elsewhere.closeAllConnections();
    elsewhere.close();
  }
});

test('containers of the run do not reach BuildKit, and what is in the cell no more of it than a build needs', async () => {
  await using room = await openRoom();
  const upstream = await connectBuildKit(settings.address);
  const door = await openBuildKitDoor({ cell: room.cell, port: 4_000, upstream, values: [] });
  const program = `${room.cell.folder}/tmp/buildctl-of-test`;
  await room.cell.read(['tee', program], { input: readFileSync(settings.program) });
  await room.cell.read(['chmod', '755', program]);
  const buildctl = (...words: string[]) => room.cell.read([program, '--addr', door.address, ...words]);
  assert.match(await buildctl('debug', 'workers'), /linux\/amd64/);
  await assert.rejects(buildctl('prune'), /Prune is not for builds/);
  await assert.rejects(buildctl('debug', 'histories'), /ListenBuildHistory is not for builds/);
  const fromBridge = room.cell.read([program, '--addr', `tcp://${room.cell.address}:4000`, 'debug', 'workers']);
  await assert.rejects(fromBridge, /Unavailable|context deadline/);
  door.close();
});

test('over TLS, with a certificate that the rooms never see; without one, or a wrong one, it says so', async () => {
  const remote = { ...settings, address: parseBuildKitAddress(tcp, tls) };
  await using room = await openRoom({ settings: remote });
  await room.build({ Dockerfile: 'FROM scratch\nCOPY note /note\n', note: 'far away\n' }, { tags: [named('far:v1')] });
  assert.notEqual(await bench.manifest('far', 'v1'), undefined);
  assert.ok((await checkBuildKit(remote)).platforms.includes('linux/amd64'));

  const plain = { ...settings, address: parseBuildKitAddress(tcp, undefined) };
  await assert.rejects(checkBuildKit(plain), /BuildKit at tcp:\/\/127\.0\.0\.1:\d+ refuses: .*TLS/s);
  const other = await ownCertificate(join(bench.folder, 'other-tls'));
  await assert.rejects(
    checkBuildKit({ ...settings, address: parseBuildKitAddress(tcp, other) }),
    /cannot be reached \(.*certificate.*\): start buildkitd there, or correct --buildkit and its TLS files/,
  );
});

test('a BuildKit that cannot be reached is named, with what would mend it, and nothing else builds instead', async () => {
  const address = parseBuildKitAddress(`unix://${bench.folder}/nobody`, undefined);
  await using room = await openRoom({ settings: { ...settings, address } });
  await assert.rejects(room.build({ Dockerfile: 'FROM scratch\nCOPY . /\n' }, { tags: [named('never:v1')] }), {
    name: 'RunFailure',
    message: /BuildKit at unix:\/\/\S+\/nobody cannot be reached \(.*ENOENT.*\): start buildkitd there/,
  });
  await assert.rejects(checkBuildKit({ ...settings, address }), /cannot be reached/);
  await assert.rejects(checkBuildKit({ ...settings, program: '/nowhere/buildctl' }), /missing or does not run/);
  const { platforms } = await checkBuildKit(settings);
  assert.ok(platforms.includes('linux/amd64'));
});

const indexSchema = z.object({
  manifests: z.array(z.object({ digest: z.string(), annotations: z.record(z.string(), z.string()).optional() })),
});
const layersSchema = z.object({ layers: z.array(z.object({ digest: z.string() })) });

/** The texts that are attached to an image as in-toto statements. Source: BuildKit, docs/attestations/attestation-storage.md. */
async function statementsOf(repository: string, tag: string): Promise<string> {
  const { manifests } = indexSchema.parse(JSON.parse((await bench.manifest(repository, tag))?.text ?? ''));
  const type = 'vnd.docker.reference.type';
  const attached = manifests.find(({ annotations }) => annotations?.[type] === 'attestation-manifest');
  assert.ok(attached !== undefined, 'the index has a manifest of attestations');
  const { text = '' } = (await bench.manifest(repository, attached.digest)) ?? {};
  const { layers } = layersSchema.parse(JSON.parse(text));
  const texts = layers.map(async ({ digest }) => {
    return await (await bench.request('GET', `/v2/${repository}/blobs/${digest}`)).text();
  });
  return (await Promise.all(texts)).join('\n');
}

function commandLines(): string[] {
  return readdirSync('/proc').flatMap((id) => {
    try {
      return /^\d+$/.test(id) ? [readFileSync(`/proc/${id}/cmdline`, 'latin1')] : [];
    } catch {
      // It ended while we looked.
      return [];
    }
  });
}

function isRunning(commandLine: string): boolean {
  return commandLines().includes(commandLine);
}
