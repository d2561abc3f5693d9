import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseBuildKitAddress } from './buildkit-address.ts';
import { withValues } from './buildkit-door.ts';
import { buildKitSettings } from './buildkit-settings.ts';
import { type BuildctlBuild, buildctlWords, frontendValues } from './buildkit-words.ts';
import type { ImageBuild } from './executor.ts';

const build: ImageBuild = {
  ...{ context: '/w', dockerfile: '/w/deploy/My.Dockerfile', tags: ['r.test/app:v1'], pushes: true },
  ...{ platforms: [{ os: 'linux', architecture: 'amd64' }], arguments: new Map(), target: undefined, labels: [] },
  ...{ annotations: [], hasCache: true, pulls: false, isSquashed: false, secrets: [], addedHosts: [] },
  ...{ cacheRepository: undefined, cpus: undefined },
};
const task: BuildctlBuild = {
  build,
  output: { kind: 'push' },
  attestations: { provenance: 'off', sbomGenerator: undefined },
  hasNetwork: true,
  cacheNamespace: 'r.test',
};
const outputOf = (asked: Partial<BuildctlBuild>) => {
  const words = buildctlWords({ ...task, ...asked });
  return words[words.indexOf('--output') + 1];
};

describe('the words of buildctl', () => {
  test("an image has docker's form, but where it is told of in ways that form has not", () => {
    const plain = 'type=image,name=r.test/app:v1,push=true,oci-mediatypes=false';
    assert.equal(outputOf({}), plain);
    const annotated = { ...build, annotations: ['org.test=a, "b"'] };
    assert.equal(
      outputOf({ build: annotated }),
      'type=image,name=r.test/app:v1,push=true,oci-mediatypes=true,"annotation.org.test=a, ""b"""',
    );
    assert.match(outputOf({ attestations: { provenance: 'min', sbomGenerator: undefined } }) ?? '', /types=true$/);
  });

  test('a build does not fail where its layers cannot be kept', () => {
    const words = buildctlWords({ ...task, build: { ...build, cacheRepository: 'r.test/app/berth-cache' } });
    assert.match(words[words.indexOf('--export-cache') + 1] ?? '', /^type=registry,.*,ignore-error=true$/);
  });
  test('several names are one field', () => {
    const words = outputOf({ build: { ...build, tags: ['r.test/a:1', 'r.test/b:2'] } });
    assert.match(words ?? '', /^type=image,"name=r\.test\/a:1,r\.test\/b:2",push=true/);
  });

  test('arguments and labels are not among them, and what docker build has no word for is refused', () => {
    const secret = { ...build, arguments: new Map([['TOKEN', 's3cret']]), labels: ['by=s3cret'] };
    assert.doesNotMatch(buildctlWords({ ...task, build: secret }).join(' '), /s3cret/);
    assert.throws(() => buildctlWords({ ...task, build: { ...build, isSquashed: true } }), /--squash is not done/);
  });
});

test('what the frontend is given', () => {
  const values = frontendValues({
    ...task,
    build: {
      ...build,
      ...{
        arguments: new Map([
          ['A', 'b=c'],
          ['BUILDKIT_CACHE_MOUNT_NS', 'of-others'],
          ['UNSET', undefined],
        ]),
        labels: ['x=y=z', 'alone'],
        target: 'small',
      },
      ...{ pulls: true, addedHosts: ['db:10.0.0.1', 'six:::1'] },
      platforms: [
        { os: 'linux', architecture: 'x86' },
        { os: 'linux', architecture: 'arm', variant: 'v7' },
      ],
    },
    attestations: { provenance: 'max', sbomGenerator: 'r.test/scan:v1' },
    hasNetwork: false,
  });
  assert.deepEqual(Object.fromEntries(values), {
    filename: 'My.Dockerfile',
    platform: 'linux/386,linux/arm/v7',
    'build-arg:A': 'b=c',
    'build-arg:BUILDKIT_CACHE_MOUNT_NS': 'r.test',
    'label:x': 'y=z',
    'label:alone': '',
    target: 'small',
    'image-resolve-mode': 'pull',
    'add-hosts': 'db=10.0.0.1,six=::1',
    'force-network-mode': 'none',
    cmdline: 'dockerfile.v0',
    'attest:provenance': 'mode=max',
    'attest:sbom': 'generator=r.test/scan:v1',
  });
});

test('values are added to a request after what it says, in a frame of the new length', () => {
  const frame = Buffer.from([0, 0, 0, 0, 2, 0x0a, 0x00]);
  const longer = withValues(frame, { attributes: 7, hidesFromHistory: 11 }, [['a', 'x'.repeat(200)]]);
  assert.equal(longer.readUInt32BE(1), longer.length - 5);
  // Field 7, 206 bytes: field 1 of 1, field 2 of 200.
  assert.deepEqual([...longer.subarray(5, 16)], [0x0a, 0x00, 0x3a, 0xce, 0x01, 0x0a, 1, 0x61, 0x12, 0xc8, 0x01]);
  assert.deepEqual([...longer.subarray(-2)], [0x58, 1]);
});

describe('addresses', () => {
  const texts = { tlsFolder: undefined, program: '/usr/bin/buildctl', provenance: 'off', sbomGenerator: undefined };
  for (const text of ['unix:///run/buildkit/buildkitd.sock', 'tcp://127.0.0.1:1234', 'tcp://[::1]:1234'])
    test(`good: ${text}`, () =>
      assert.notEqual(buildKitSettings({ ...texts, provenance: 'off', address: text }), undefined));
  for (const text of [
    '',
    'unix://',
    'unix://host/x',
    'tcp://host',
    'tcp://u@host:1',
    'tcp://host:1/x',
    'http://host:1',
    '/run/x',
  ])
    test(`bad: ${text}`, () =>
      assert.throws(() => parseBuildKitAddress(text, undefined), /is not an address of BuildKit/));
  test('another machine needs TLS, and a socket has none', () => {
    const far = { ...texts, provenance: 'off', address: 'tcp://builder.test:1234' } as const;
    assert.throws(() => buildKitSettings(far), /builder\.test:1234 needs TLS/);
    assert.notEqual(buildKitSettings({ ...far, tlsFolder: '/etc/tls' }), undefined);
    assert.throws(() => buildKitSettings({ ...far, address: 'unix:///x', tlsFolder: '/etc/tls' }), /TLS is for tcp/);
    assert.equal(buildKitSettings({ ...far, address: undefined }), undefined);
  });
});
