import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { armCaller } from '../support/arm-caller.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { asAdmin, platformImage, pushSample } from '../support/push-sample.ts';
import { tryRun } from '../support/run.ts';

const berth = join(import.meta.dirname, '../../bin/berth');

describe('berth purge, gc and scrub', () => {
  let server: BerthServer;
  before(async () => {
    server = await startBerth();
  });
  after(() => server.remove());

  const type = async (...words: readonly string[]) => await tryRun(berth, [...words, '--data', server.dataFolder]);
  const linesOf = async (...words: readonly string[]) => {
    const { code, stdout, output } = await type(...words);
    assert.equal(code, 0, output);
    return stdout.trimEnd().split('\n');
  };
  const statusOf = async (repository: string, reference: string) =>
    (await asAdmin(server, 'HEAD', `/v2/${repository}/manifests/${reference}`, { headers: { Accept: '*/*' } })).status;

  test('a purge says the rule and the bytes of each item, and does what its dry run said', async () => {
    const samples = ['one', 'two'].map((seed) => platformImage(seed));
    for (const [index, sample] of samples.entries()) await pushSample(server, 'team/app', sample, `v${index}`);
    const host = `${server.bootstrap.registry.loginServer}/team/app`;
    const expected = samples.map(({ blobs, image }) => {
      const bytes = [...blobs, image].reduce((sum, each) => sum + each.bytes.length, 0);
      return { bytes, line: `${host}@${image.digest} (without a tag and old enough, ${bytes} bytes)` };
    });
    const total = expected.reduce((sum, { bytes }) => sum + bytes, 0);
    const words = ['purge', '--filter', 'team/app:^v', '--ago', '0d', '--untagged'];
    const dry = await linesOf(...words, '--dry-run');
    const done = await linesOf(...words);
    assert.match(dry[0] ?? '', /^DRY RUN: /);
    const itemsOf = (lines: readonly string[], verb: string) =>
      lines.flatMap((line) => (line.startsWith(verb) ? [line.slice(verb.length)] : [])).toSorted();
    const items = itemsOf(done, 'Deleted ');
    assert.deepEqual(itemsOf(dry, 'Would delete: '), items);
    const tags = ['v0', 'v1'].map((tag) => `${host}:${tag} (matches and is old enough)`);
    assert.deepEqual(items, [...tags, ...expected.map(({ line }) => line)].toSorted());
    assert.deepEqual(dry.slice(-3), [
      'Number of tags to be deleted: 2',
      'Number of manifests to be deleted: 2',
      `Bytes to be freed: ${total}`,
    ]);
    assert.deepEqual(done.slice(-3), [
      'Number of deleted tags: 2',
      'Number of deleted manifests: 2',
      `Freed bytes: ${total}`,
    ]);
  });

  test('what keeps a blob is explained; what was deleted is dropped for good', async () => {
    const policies = { softDeletePolicy: { status: 'enabled', retentionDays: 30 } };
    await (await armCaller(server)).patch({ properties: { policies } });
    const { blobs, image } = platformImage('kept');
    await pushSample(server, 'team/kept', { blobs, image }, 'v1');
    const [blob] = blobs;
    assert(blob !== undefined);
    const explained = async () => await linesOf('gc', '--explain', blob.digest);
    assert.deepEqual((await explained()).slice(1), ['kept by', `  team/kept@${image.digest} (v1)`]);
    await asAdmin(server, 'DELETE', `/v2/team/kept/manifests/${image.digest}`);
    assert.deepEqual((await explained()).slice(2), [`  team/kept@${image.digest} (deleted, can be restored)`]);
    assert.deepEqual(await linesOf('gc', '--drop-deleted', 'team/kept'), ['dropped 1 deleted manifests for good']);
    assert.match((await explained()).join('\n'), /nothing references it: it may leave from \d/);
    assert.equal(await statusOf('team/kept', image.digest), 404);
    assert.match((await linesOf('gc')).join('\n'), /^freed \d+ blobs, \d+ bytes$/);
    assert.equal((await type('gc', '--explain', `sha256:${'0'.repeat(64)}`)).code, 3);
  });

  test('the scrub tells how far it is, and begins again', async () => {
    assert.match((await linesOf('scrub', '--restart')).join('\n'), /^since \S+: 0 blobs, 0 bytes, all as pushed$/);
    assert.match((await linesOf('scrub')).join('\n'), /blobs, \d+ bytes, all as pushed$/);
  });
});
