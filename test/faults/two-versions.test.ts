import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type BerthOptions, type BerthServer, startBerth } from '../support/berth-server.ts';
import { newerProgram } from '../support/newer-program.ts';
import { startPostgresCluster } from '../support/postgres-cluster.ts';
import { run, tryRun } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { blobSeed, imageOf } from './content.ts';
import { isLong } from './length.ts';
import { isWhole, RegistryClient } from './registry-client.ts';

const older = join(import.meta.dirname, '../../bin/berth');
const togetherMs = isLong ? 30_000 : 4_000;

test('rolling upgrade with two programs: both push and pull on one database, before, beside and after its migration', async () => {
  using folder = temporaryFolder('two-versions');
  await using cluster = await startPostgresCluster();
  const { program: newer, migration } = newerProgram(join(folder.path, 'newer'));
  const env = { BERTH_MASTER_KEY: randomBytes(32).toString('base64') };
  const blobs = join(folder.path, 'blobs');
  const options = (name: string): BerthOptions => {
    const dataFolder = join(folder.path, name);
    mkdirSync(dataFolder, { mode: 0o700 });
    // What the tests sign in with; the server itself does not need it.
    const known = join(folder.path, 'first/bootstrap.json');
    if (existsSync(known)) copyFileSync(known, join(dataFolder, 'bootstrap.json'));
    return { databaseUrl: cluster.url, env, dataFolder, settings: { blobs } };
  };
  const command = (name: string, ...args: string[]) => [
    name,
    '--database',
    cluster.url,
    '--data',
    join(folder.path, 'first'),
    ...args,
  ];

  await using first = await startBerth(options('first'));
  await using second = await startBerth(options('second'));
  let isOver = false;
  const running: BerthServer[] = [first, second];
  const until = (to: BerthServer, from: BerthServer, name: string) =>
    pushAndPull(to, from, name, () => isOver).catch((cause: unknown) => {
      throw new Error(running.map((server) => server.log()).join('\n'), { cause });
    });
  const writing = [until(first, second, 'a'), until(second, first, 'b')];
  const migrated = await run(newer, command('migrate-database'), { env });
  assert.match(migrated.stdout, new RegExp(migration));

  await using third = await startedBy(newer, options('third'));
  writing.push(
    pushAndPull(third, first, 'c', () => isOver),
    pushAndPull(first, third, 'd', () => isOver),
  );
  await new Promise((resolve) => setTimeout(resolve, togetherMs));

  const backups = ['--to', join(folder.path, 'backups'), '--blobs', blobs];
  const refused = await tryRun(older, command('backup', ...backups), { env });
  assert.equal(refused.code, 1);
  assert.match(refused.output, /written by a newer version of Berth/);
  assert.ok(refused.output.includes(migration), refused.output);
  const taken = await run(newer, command('backup', ...backups), { env });
  assert.match(taken.stdout, /snapshot .*: \d+ rows/);

  isOver = true;
  const counts = await Promise.all(writing);
  assert.ok(
    counts.every((count) => count > 0),
    counts.join(),
  );
  // One that is started again on what the newer program made of the schema.
  await second.stop();
  await using again = await startBerth(second.again);
  let rounds = 0;
  await pushAndPull(again, third, 'e', () => rounds++ >= 2);
  for (const server of [first, third, again]) assert.ok(!/"level":"?(?:error|50)/.test(server.log()), server.log());
});

/** `startBerth` takes its program from this variable. */
async function startedBy(program: string, options: BerthOptions): Promise<BerthServer> {
  const before = process.env.BERTH_TEST_PROGRAM;
  process.env.BERTH_TEST_PROGRAM = program;
  try {
    return await startBerth(options);
  } finally {
    if (before === undefined) delete process.env.BERTH_TEST_PROGRAM;
    else process.env.BERTH_TEST_PROGRAM = before;
  }
}

type Server = Pick<BerthServer, 'http' | 'admin'>;

/** Pushes to one server and pulls from another; every answer is the expected one. Resolves to how many images. */
async function pushAndPull(to: Server, from: Server, name: string, isOver: () => boolean): Promise<number> {
  const [pushing, pulling] = [new RegistryClient(to.http, to.admin), new RegistryClient(from.http, to.admin)];
  let count = 0;
  for (; !isOver(); count += 1) {
    const blobs = [blobSeed(200), blobSeed(20_000)];
    for (const blob of blobs) await pushing.pushBlob('team/app', blob, 'chunks');
    const image = imageOf(blobs);
    await pushing.putManifest('team/app', `${name}-latest`, image);
    assert.ok(isWhole(await pulling.manifest('team/app', `${name}-latest`), image.digest));
    for (const blob of blobs) assert.ok(isWhole(await pulling.blob('team/app', blob.digest), blob.digest));
    await pulling.expect(200, 'GET', '/v2/team/app/tags/list?n=5');
  }
  pushing.close();
  pulling.close();
  return count;
}
