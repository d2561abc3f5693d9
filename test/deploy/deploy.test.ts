import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { z } from 'zod';
import { settingNames, variableOf } from '../../src/settings.ts';
import { blobSeed, imageOf } from '../faults/content.ts';
import { isWhole, RegistryClient } from '../faults/registry-client.ts';
import { Daemon } from '../support/daemon.ts';
import { freePort } from '../support/free-port.ts';
import { goTool } from '../support/go-tools.ts';
import { run, tryRun } from '../support/run.ts';
import { samples, storageFlags } from '../support/samples.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';

const deploy = join(import.meta.dirname, '../../deploy');
const chart = join(deploy, 'helm/berth');
const user = 10_001;
const imageSchema = z.object({ OCIv1: z.object({ config: z.object({ Env: z.array(z.string()) }) }) });
const variables = new Set(settingNames.map(variableOf));

/** Runs a program of a root file system that is read-only but for `data`, as a user without rights. */
const readOnlyRoot = `
mount --rbind "$1" "$1"; mount --bind "$2" "$1/data"; mount -t proc proc "$1/proc"; mount --rbind /dev "$1/dev"
mount -o remount,ro,bind "$1"
shift 2; root=$1; shift
exec chroot --userspec=10001:10001 "$root" "$@"`;

test('buildah builds the image on a Debian base; what it holds runs without root on a read-only root', async () => {
  using folder = temporaryFolder('image');
  const flags = storageFlags(folder.path);
  const { layout } = await samples();
  const options = { cwd: folder.path };
  const buildah = async (...args: string[]) => (await run('buildah', [...flags, ...args], options)).stdout.trim();
  // A short name without dots: buildah makes an image name of it.
  symlinkSync(layout, join(folder.path, 'samples'));
  await buildah('pull', 'oci:samples:base');
  const base = (await buildah('images', '--quiet')).split('\n')[0] ?? '';
  await buildah('tag', base, 'localhost/base');
  const wrapper = join(folder.path, 'buildah');
  writeFileSync(wrapper, `#!/bin/sh\nexec /usr/bin/buildah ${flags.join(' ')} "$@"\n`, { mode: 0o755 });
  const built = ['--build-arg', 'BASE=localhost/base', '--isolation', 'chroot', '--pull-never'];
  await run(join(deploy, 'build-image'), ['localhost/berth:test', ...built], { env: { BUILDER: wrapper } });

  const container = await buildah('from', '--pull-never', 'localhost/berth:test');
  const root = await buildah('mount', container);
  const image: unknown = JSON.parse(await buildah('inspect', '--type', 'image', 'localhost/berth:test'));
  const { Env } = imageSchema.parse(image).OCIv1.config;
  assert.partialDeepStrictEqual(image, { OCIv1: { config: { User: '10001:10001', Volumes: { '/data': {} } } } });
  assert.ok(!existsSync(join(root, 'opt/berth/node_modules/azurite')), 'no development packages');
  const data = join(folder.path, 'data');
  mkdirSync(data);
  chmodSync(data, 0o700);
  chownSync(data, user, user);
  const port = await freePort();
  const settings = ['--data', '/data', '--http', `127.0.0.1:${port}`, '--https', 'none'];
  const program = [
    'sh',
    '-ec',
    readOnlyRoot,
    'sh',
    root,
    data,
    root,
    ...['env', '-i', '--chdir=/data', ...Env, '/opt/berth/bin/berth', 'serve'],
    ...settings,
  ];
  const daemon = new Daemon({
    command: 'unshare',
    args: ['--mount', '--propagation', 'private', '--', ...program],
    logFile: join(folder.path, 'log'),
  });
  try {
    await waitFor('the container is ready', 120_000, async () => {
      if (!daemon.running) throw new Error(daemon.log());
      return (await fetch(`http://localhost:${port}/readyz`)).ok;
    });
    const bootstrap = z
      .object({ registry: z.object({ username: z.string(), password: z.string() }) })
      .parse(JSON.parse(readFileSync(join(data, 'bootstrap.json'), 'utf8')));
    assert.equal(statSync(join(data, 'bootstrap.json')).uid, user);
    assert.ok(existsSync(join(data, 'berth-compiled')), 'what is compiled is kept for the next start');
    const client = new RegistryClient(`http://localhost:${port}`, bootstrap.registry);
    const config = blobSeed(1000);
    await client.pushBlob('team/app', config);
    const manifest = imageOf([config]);
    await client.putManifest('team/app', '1', manifest);
    assert.ok(isWhole(await client.manifest('team/app', '1'), manifest.digest));
    client.close();
  } finally {
    assert.equal(await daemon.stop(), 0, daemon.log());
    await buildah('rm', '--all');
  }
});

test('the Helm chart passes lint, and renders probes, budget, secrets and known settings', async () => {
  const helm = await goTool('helm');
  await run(helm, ['lint', '--strict', chart]);
  const template = ['template', 'registry', chart, '--kube-version', '1.30.0'];
  const { stdout } = await run(helm, [...template, '--set', 'ingress.enabled=true']);
  const objects = parseAllDocuments(stdout).map((document) => document.toJS() as Rendered);
  const kinds = objects.map((object) => object.kind).sort();
  assert.deepEqual(kinds, ['Ingress', 'PodDisruptionBudget', 'Service', 'Service', 'ServiceAccount', 'StatefulSet']);
  const ingress = objects.find((object) => object.kind === 'Ingress')?.spec;
  const hosts = ['*.registry.example.com', '*.blob.registry.example.com'];
  assert.deepEqual(
    ingress?.rules?.map(({ host }) => host),
    hosts,
  );
  assert.deepEqual(
    ingress?.tls?.map((each) => each.hosts),
    [hosts],
  );
  const pod = objects.find((object) => object.kind === 'StatefulSet')?.spec?.template?.spec;
  const [container] = pod?.containers ?? [];
  assert.partialDeepStrictEqual(pod, { securityContext: { runAsNonRoot: true, runAsUser: user } });
  assert.partialDeepStrictEqual(container, {
    envFrom: [{ secretRef: { name: 'berth' } }],
    securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false },
    readinessProbe: { httpGet: { path: '/readyz' } },
    livenessProbe: { httpGet: { path: '/healthz' } },
    ports: [{ name: 'http' }, { name: 'metrics', containerPort: 9464 }],
  });
  for (const { name } of container?.env ?? []) assert.ok(variables.has(name), `${name} is a setting`);
  const withoutMetrics = await run(helm, [...template, '--set', 'settings.metrics=']);
  assert.doesNotMatch(withoutMetrics.stdout, /BERTH_METRICS|name: metrics|annotations|prometheus/);
  assert.match(stdout, /annotations:\n *prometheus.io\/port: "9464"\n *prometheus.io\/scrape: "true"\n/);
  const elsewhere = ['--set', 'settings.metrics=0.0.0.0:9500', '--set', 'podAnnotations.team=images'];
  assert.match(
    (await run(helm, [...template, ...elsewhere])).stdout,
    /prometheus.io\/port: "9500"[\s\S]*?team: images/,
  );
  const withoutSecret = await tryRun(helm, [...template, '--set', 'existingSecret=']);
  assert.match(withoutSecret.stderr, /existingSecret names the Secret/);
});

/** Cast in one place: what `helm template` printed, as far as the test looks at it. */
type Rendered = {
  kind: string;
  spec?: {
    template?: { spec?: { containers?: { env?: { name: string }[] }[] } };
    rules?: { host: string }[];
    tls?: { hosts: string[] }[];
  };
};

test('the compose file sets known settings, on three read-only servers', () => {
  const compose = z
    .object({
      services: z.record(
        z.string(),
        z.looseObject({
          environment: z.record(z.string(), z.unknown()).optional(),
          depends_on: z.unknown().optional(),
          healthcheck: z.object({ test: z.array(z.string()) }).optional(),
        }),
      ),
    })
    .parse(parse(readFileSync(join(deploy, 'compose.yaml'), 'utf8'), { merge: true }));
  const servers = Object.entries(compose.services).filter(([name]) => /^berth\d$/.test(name));
  assert.equal(servers.length, 3);
  for (const [, server] of servers) {
    assert.equal(server.read_only, true);
    for (const name of Object.keys(server.environment ?? {})) assert.ok(variables.has(name), `${name} is a setting`);
  }
  // One makes the installation: it is known whose volume keeps the owner's secrets.
  const [first, ...others] = servers.map(([, server]) => server);
  assert.ok(first?.healthcheck?.test.join(' ').includes('/readyz'));
  for (const { depends_on } of others) assert.deepEqual(depends_on, { berth1: { condition: 'service_healthy' } });
});

test('HAProxy takes its file, and systemd the units', async () => {
  using folder = temporaryFolder('deploy');
  const config = join(folder.path, 'haproxy.cfg');
  // The names of the compose file's network do not resolve here.
  const text = readFileSync(join(deploy, 'haproxy.cfg'), 'utf8').replace(/(server berth\d) berth\d:/g, '$1 127.0.0.1:');
  writeFileSync(config, text);
  await run('haproxy', ['-c', '-f', config]);
  for (const name of ['berth.service', 'berth-agent.service']) {
    const unit = join(folder.path, name);
    // The program is not installed here.
    writeFileSync(unit, readFileSync(join(deploy, name), 'utf8').replace('/opt/berth/bin/berth', '/bin/true'));
    const verified = await tryRun('systemd-analyze', ['verify', unit]);
    assert.doesNotMatch(verified.output, /\.service:\d+/);
  }
});
