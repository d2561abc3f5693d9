import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { sbomSample } from '../support/sbom-sample.ts';
import { wasmSample } from '../support/wasm-sample.ts';
import { goClient } from './client.ts';
import { type Target, useWorkbench } from './workbench.ts';

describe('oras', () => {
  const bench = useWorkbench();
  const oras = goClient(bench, 'oras');

  /** oras takes every localhost for plain http unless told otherwise. */
  const trust = (target: Target, side = '') =>
    target.tls ? [`--${side}plain-http=false`, `--${side}ca-file`, bench().server.caPath] : [`--${side}plain-http`];
  const login = (target: Target) =>
    oras.run(['login', ...trust(target), target.host, '-u', bench().username, '--password-stdin'], {
      input: bench().password,
    });
  const pushApp = (target: Target, repository: string) =>
    oras.run([
      'copy',
      '--from-oci-layout',
      ...trust(target, 'to-'),
      `${bench().samples.layout}:multi`,
      `${target.host}/${repository}:multi`,
    ]);

  for (const name of ['http', 'https', 'named'] as const) {
    test(`attaches an SBOM to an image, discovers it and copies both over ${name}`, async () => {
      const target = bench()[name];
      const image = `${target.host}/oras/${name}:multi`;
      await login(target);
      await pushApp(target, `oras/${name}`);
      assert.equal((await bench().manifest(`oras/${name}`, 'multi'))?.digest, bench().samples.digests.multi);
      bench().file('sbom.spdx.json', await sbomSample(bench().samples));
      await oras.run(['attach', ...trust(target), '--artifact-type', 'application/spdx+json', image, 'sbom.spdx.json']);
      const tree: unknown = JSON.parse(await oras.run(['discover', ...trust(target), '--format', 'json', image]));
      assert.partialDeepStrictEqual(tree, { manifests: [{ artifactType: 'application/spdx+json' }] });
      const none: unknown = JSON.parse(
        await oras.run([
          'discover',
          ...trust(target),
          '--artifact-type',
          'application/none',
          '--format',
          'json',
          image,
        ]),
      );
      assert.partialDeepStrictEqual(none, { manifests: [] });
      const copy = `${target.host}/oras/${name}/copy:multi`;
      await oras.run(['copy', '--recursive', ...trust(target, 'from-'), ...trust(target, 'to-'), image, copy]);
      assert.match(await oras.run(['discover', ...trust(target), copy]), /application\/spdx\+json/);
    });
  }

  test('pushes a WASM module and pulls back one that runs', async () => {
    const target = bench().named;
    await login(target);
    bench().file('add.wasm', wasmSample());
    bench().file('config.json', '{"architecture":"wasm","os":"wasip1"}');
    const image = `${target.host}/oras/wasm:v1`;
    const config = 'config.json:application/vnd.wasm.config.v0+json';
    await oras.run(['push', ...trust(target), '--config', config, image, 'add.wasm:application/wasm']);
    const pulled = join(bench().folder, 'pulled');
    mkdirSync(pulled);
    await oras.run(['pull', ...trust(target), '-o', pulled, image]);
    const { instance } = await WebAssembly.instantiate(readFileSync(join(pulled, 'add.wasm')));
    assert.equal(callExport(instance, 'add', 2, 40), 42);
  });

  test('lists repositories and tags, tags again and deletes', async () => {
    const target = bench().http;
    await login(target);
    await pushApp(target, 'oras/list');
    await oras.run(['tag', ...trust(target), `${target.host}/oras/list:multi`, 'second', 'third']);
    assert.equal(
      await oras.run(['repo', 'tags', ...trust(target), `${target.host}/oras/list`]),
      'multi\nsecond\nthird\n',
    );
    assert.match(await oras.run(['repo', 'ls', ...trust(target), target.host]), /^oras\/list$/m);
    await oras.run(['manifest', 'delete', ...trust(target), '--force', `${target.host}/oras/list:third`]);
    assert.equal(await bench().manifest('oras/list', 'multi'), undefined);
  });

  test('pushes a blob by itself and fetches the same bytes', async () => {
    const target = bench().http;
    await login(target);
    bench().file('blob.bin', Buffer.alloc(3_000_000, 'berth'));
    const pushed = await oras.run([
      'blob',
      'push',
      ...trust(target),
      '--descriptor',
      `${target.host}/oras/blob`,
      'blob.bin',
    ]);
    const digest = /sha256:[0-9a-f]{64}/.exec(pushed)?.[0] ?? '';
    await oras.run(['blob', 'fetch', ...trust(target), '-o', 'back.bin', `${target.host}/oras/blob@${digest}`]);
    assert.deepEqual(readFileSync(join(bench().folder, 'back.bin')), Buffer.alloc(3_000_000, 'berth'));
  });
});

/** Calls an exported function of a WASM instance. */
function callExport(instance: WebAssembly.Instance, name: string, ...args: readonly number[]): unknown {
  const exported = instance.exports[name];
  assert.ok(typeof exported === 'function');
  return exported(...args);
}
