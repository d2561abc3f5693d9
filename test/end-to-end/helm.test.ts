import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { startKubernetesStandIn } from '../support/kubernetes-stand-in.ts';
import { goClient } from './client.ts';
import { type Target, useWorkbench } from './workbench.ts';

describe('helm', () => {
  const bench = useWorkbench();
  const helm = goClient(bench, 'helm');

  const trust = (target: Target) => (target.tls ? ['--ca-file', bench().server.caPath] : ['--plain-http']);
  const login = (target: Target) =>
    helm.run(['registry', 'login', target.host, ...trust(target), '-u', bench().username, '--password-stdin'], {
      input: bench().password,
    });

  for (const name of ['http', 'https', 'named'] as const) {
    test(`pushes a chart, pulls it and renders a release from it over ${name}`, async (context) => {
      const target = bench()[name];
      const charts = `oci://${target.host}/charts/${name}`;
      await login(target);
      await helm.run(['create', `shop-${name}`]);
      await helm.run(['package', `shop-${name}`, '--version', '1.2.3']);
      const archive = `shop-${name}-1.2.3.tgz`;
      await helm.run(['push', archive, charts, ...trust(target)]);
      const stored = await bench().manifest(`charts/${name}/shop-${name}`, '1.2.3');
      assert.match(stored?.text ?? '', /application\/vnd\.cncf\.helm\.config\.v1\+json/);
      await helm.run(['pull', `${charts}/shop-${name}`, '--version', '1.2.3', '-d', 'home', ...trust(target)]);
      assert.deepEqual(
        readFileSync(join(bench().folder, 'home', archive)),
        readFileSync(join(bench().folder, archive)),
      );
      const shown = await helm.run(['show', 'chart', `${charts}/shop-${name}`, ...trust(target)]);
      assert.match(shown, /^version: 1\.2\.3$/m);
      const cluster = await startKubernetesStandIn();
      context.after(cluster.stop);
      const install = ['install', 'release', `${charts}/shop-${name}`, '--dry-run', '--kube-apiserver', cluster.url];
      const rendered = await helm.run([...install, '--disable-openapi-validation', ...trust(target)]);
      assert.match(rendered, /STATUS: pending-install[\s\S]*kind: Deployment/);
      assert.match(await helm.run(['template', `${charts}/shop-${name}`, ...trust(target)]), /kind: Service/);
    });
  }

  test('picks the highest version that a range allows, from the tag list', async () => {
    const target = bench().named;
    const charts = `oci://${target.host}/charts/range`;
    await login(target);
    await helm.run(['create', 'app']);
    for (const version of ['1.0.0', '1.1.0', '2.0.0', '1.2.0+build.5']) {
      await helm.run(['package', 'app', '--version', version]);
      await helm.run(['push', `app-${version}.tgz`, charts, ...trust(target)]);
    }
    const shown = await helm.run(['show', 'chart', `${charts}/app`, '--version', '^1.0.0', ...trust(target)]);
    assert.match(shown, /^version: 1\.2\.0\+build\.5$/m);
  });

  test('logs out', async () => {
    const target = bench().https;
    await login(target);
    await helm.run(['registry', 'logout', target.host]);
    const output = await helm.fail([
      'pull',
      `oci://${target.host}/charts/none`,
      '--version',
      '1.0.0',
      ...trust(target),
    ]);
    assert.match(output, /401|unauthorized|authentication required|credential/i);
  });
});
