import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { lifecycleLineSchema, lifecycleRunSchema } from '../../src/wire/admin/lifecycle-schema.ts';
import { blobSeed, imageOf } from '../faults/content.ts';
import { RegistryClient } from '../faults/registry-client.ts';
import { startBerth } from '../support/berth-server.ts';
import { tryRun } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const berth = join(import.meta.dirname, '../../bin/berth');
const itemSchema = z.object({ tag: z.string().nullable(), digest: z.string(), freedBytes: z.number() });

test('rules are set, previewed and applied on the command line, and take what the preview lists', async () => {
  using folder = temporaryFolder('lifecycle');
  await using server = await startBerth();
  const client = new RegistryClient(server.http, server.admin);
  for (const tag of ['v1', 'v2', 'v3', 'release']) {
    const blobs = [blobSeed(300), blobSeed(10_000)];
    for (const blob of blobs) await client.pushBlob('team/app', blob);
    await client.putManifest('team/app', tag, imageOf(blobs));
  }
  client.close();
  const file = (name: string, rules: unknown) => {
    const path = join(folder.path, name);
    writeFileSync(path, JSON.stringify(rules));
    return path;
  };
  const rules = file('rules.json', [
    { name: 'one', tags: 'v*', action: 'keepLast', count: 1 },
    { name: 'named', tags: 'release', action: 'keepMatching' },
    { name: 'old', action: 'deleteOlder', olderThan: '0d' },
  ]);
  const run = async (...args: readonly string[]) =>
    await tryRun(berth, ['lifecycle', ...args, '--data', server.dataFolder]);
  const bad = await run('set', '--rules', file('bad.json', [{ name: 'x', action: 'keepLast' }]));
  assert.deepEqual([bad.code, /0\.count/.test(bad.stderr)], [2, true]);
  const age = await run('set', '--rules', file('age.json', [{ name: 'x', action: 'deleteOlder', olderThan: 'soon' }]));
  assert.deepEqual([age.code, /'soon' is no age/.test(age.stderr)], [1, true]);
  assert.equal((await run('set', '--rules', rules)).code, 0);

  const lines = (text: string) =>
    text
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
  const preview = await run('preview', '--json');
  const listed = lines(preview.stdout).map((line) => lifecycleLineSchema.parse(line));
  const leaving = listed.filter((line) => 'outcome' in line && line.outcome === 'wouldDelete');
  const kept = listed.flatMap((line) =>
    'outcome' in line && line.outcome === 'kept' ? [`${line.tag} ${line.rule}`] : [],
  );
  assert.deepEqual(kept.toSorted(), ['release named', 'v3 one']);
  const done = await run('run', '--json');
  assert.equal(done.code, 0, done.output);
  const results = lines(done.stdout);
  const items = (all: readonly unknown[]) => all.map((item) => itemSchema.parse(item));
  assert.deepEqual(items(results.slice(0, -1)), items(leaving));
  const totals = lifecycleRunSchema.shape.run.parse(results.at(-1));
  assert.deepEqual([totals.tags, totals.manifests], [2, 2]);
  assert.ok(totals.freedBytes > 20_600);
  const shown = await run('show', '--run', totals.id, '--json');
  assert.equal(shown.stdout, done.stdout);
  assert.equal((await run('show', '--run', 'unknown')).code, 3);
  assert.match((await run('set', '--rules', file('none.json', []))).stdout, /no rules/);

  const stranger = await fetch(`${server.http}/admin/registries/local/lifecycle`);
  assert.equal(stranger.status, 401);
  const { username, password } = server.admin;
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const admin = await fetch(`${server.http}/admin/registries/local/lifecycle`, { headers: { authorization } });
  assert.ok(
    admin.status === 401 || admin.status === 403,
    `the admin account of a registry is no owner: ${admin.status}`,
  );
});
