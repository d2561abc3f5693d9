import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { auditRowSchema } from '../../src/wire/events/audit-schema.ts';
import { pushTags } from '../faults/webhooks.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { tryRun } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';

const program = join(import.meta.dirname, '../../bin/berth');
const audit = async (server: BerthServer, ...words: readonly string[]) =>
  await tryRun(program, ['audit', ...words, '--data', server.dataFolder]);

test('what happened to a registry is listed and exported by filter, with what was denied and why', async () => {
  await using server = await startBerth();
  await pushTags(server, ['v1', 'v2'], 1);
  const { username, password } = server.admin;
  const ask = async (path: string, authorization?: string) =>
    (await fetch(`${server.http}${path}`, { headers: authorization === undefined ? {} : { authorization } })).status;
  const admin = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  assert.equal(await ask('/v2/hooked/manifests/v1', admin), 200);
  // The admin account of a registry is no owner.
  assert.equal(await ask('/admin/registries', admin), 403);
  const rows = async (...words: readonly string[]) => {
    const { stdout } = await audit(server, 'export', '--registry', 'local', ...words);
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => auditRowSchema.parse(JSON.parse(line)));
  };
  // Lines can be found some time after they were written.
  const found = async (count: number, ...words: readonly string[]) =>
    await waitFor(words.join(' '), 120_000, async () => {
      const lines = await rows(...words);
      return lines.length >= count ? lines : undefined;
    });
  const pulled = await found(1, '--operation', 'Pull', '--repository', 'hooked');
  assert.partialDeepStrictEqual(pulled, [
    {
      Category: 'ContainerRegistryRepositoryEvents',
      Tag: 'v1',
      ResultType: 'Succeeded',
      PrincipalKind: 'registryAdmin',
    },
  ]);
  const pushed = await found(2, '--operation', 'Push');
  assert.deepEqual(
    pushed.map(({ Tag, Repository, LoginServer }) => [Tag, Repository, LoginServer]),
    ['v2', 'v1'].map((tag) => [tag, 'hooked', server.bootstrap.registry.loginServer]),
  );
  const [denied] = await found(1, '--operation', 'Denied');
  assert.partialDeepStrictEqual(denied, { ResultType: 'Failed', ResultDescription: '403', Identity: username });
  assert.notEqual(denied?.Reason, '');
  const { stdout } = await audit(server, 'list', '--registry', 'local', '--tag', 'v2');
  assert.match(stdout, /Push .*hooked:v2/);
});

test('verify, a server that starts, and accept: what was cut off in the database alone', async () => {
  await using first = await startBerth({ database: 'sqlite' });
  const notes = join(first.dataFolder, 'blob-store', 'notes');
  const kept = () => readdirSync(notes).filter((name) => name.startsWith('audit-checkpoint.'));
  await waitFor('a checkpoint beside the blobs', 120_000, () => kept().length > 0);
  const whole = await audit(first, 'verify');
  assert.equal(whole.code, 0, whole.output);
  await first.stop();
  const database = new DatabaseSync(join(first.dataFolder, 'berth.sqlite'));
  database.exec('delete from audit_checkpoints');
  database.close();

  await using server = await startBerth(first.again);
  await waitFor('what the server says', 60_000, () => server.log().includes('are not in the database'));
  const cut = await audit(server, 'verify');
  assert.equal(cut.code, 1, cut.output);
  assert.match(cut.stdout, /^BROKEN {2}checkpoints at 1: .*berth audit accept/m);
  const accepted = await audit(server, 'accept');
  assert.deepEqual([accepted.code, accepted.stdout.startsWith('checkpoints 1 to ')], [0, true], accepted.output);
  const settled = await audit(server, 'verify');
  assert.equal(settled.code, 0, settled.output);
  assert.match(settled.stdout, /^whole {3}checkpoints: \d+; an owner accepted that some from 1 to \d+ are gone$/m);
  assert.match((await audit(server, 'accept')).stdout, /^nothing to accept/);
  await waitFor('the line of the audit', 60_000, async () =>
    (await audit(server, 'list', '--operation', 'audit.accepted')).stdout.includes('audit.accepted'),
  );
});

test('an installation that moves to another store takes along what this one was told', async () => {
  using folder = temporaryFolder('audit-move');
  await using server = await startBerth({ database: 'sqlite' });
  const keptIn = (data: string) =>
    readdirSync(join(data, 'blob-store', 'notes')).filter((name) => name.startsWith('audit-checkpoint.'));
  await waitFor('a checkpoint beside the blobs', 120_000, () => keptIn(server.dataFolder).length > 0);
  await server.stop();
  const target = join(folder.path, 'target');
  const settings = {
    from: `data: ${server.dataFolder}\n`,
    to: `data: ${target}\nmaster-key-file: ${join(server.dataFolder, 'master.key')}\n`,
  };
  const words = Object.entries(settings).flatMap(([side, text]) => {
    const file = join(folder.path, `${side}.yaml`);
    writeFileSync(file, text, { mode: 0o600 });
    return [`--${side}`, file];
  });
  const moved = await tryRun(program, ['move', ...words]);
  assert.equal(moved.code, 0, moved.output);
  assert.deepEqual(keptIn(target), keptIn(server.dataFolder));
});
