import assert from 'node:assert/strict';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { azRest } from '../../test/support/az-rest.ts';
import { startBerth } from '../../test/support/berth-server.ts';
import { freePort } from '../../test/support/free-port.ts';
import { databaseUrl, testPostgresUrl } from '../../test/support/postgres.ts';
import { tryRun } from '../../test/support/run.ts';
import { temporaryFolder } from '../../test/support/temporary-folder.ts';

async function doctorOn(dataFolder: string, ...args: string[]): Promise<string[]> {
  // Settings of the tests are not settings of the program.
  const ours = Object.keys(process.env).filter((name) => name.startsWith('BERTH_'));
  const program = join(import.meta.dirname, '../../bin/berth');
  const command = [...ours.flatMap((name) => ['-u', name]), program, 'doctor', '--data', dataFolder, ...args];
  return (await tryRun('env', command)).stdout.split('\n');
}

for (const database of ['sqlite', 'postgres'] as const) {
  test(`doctor names the settings of each registry that do nothing yet, on ${database}`, async () => {
    await using server = await startBerth({ database });
    const doctor = async () => (await doctorOn(server.dataFolder)).filter((line) => /enforced/.test(line));
    assert.deepEqual(await doctor(), ['ok     every setting of the registries is enforced']);

    const rest = await azRest(server);
    const group = `${rest.subscription}/resourceGroups/demo`;
    const registries = `${group}/providers/Microsoft.ContainerRegistry/registries`;
    const location = 'eastus';
    await rest.done('PUT', group, { location });
    const properties = {
      adminUserEnabled: true,
      networkRuleSet: { defaultAction: 'Deny' },
      metadataSearch: 'Enabled',
    };
    await rest.done('PUT', `${registries}/contoso`, { location, sku: { name: 'Premium' }, properties });
    await rest.done('PUT', `${registries}/plain`, { location, sku: { name: 'Basic' } });
    await rest.done('PUT', `${registries}/named`, {
      ...{ location, sku: { name: 'Premium' } },
      properties: { zoneRedundancy: 'Enabled' },
    });
    const stored = 'is stored and not enforced yet';
    assert.deepEqual(await doctor(), [
      `note   registry contoso: metadata search ${stored}: shown as set`,
      `note   registry named: zone redundancy ${stored}: shown as set`,
    ]);
  });
}

test('doctor tells a server that is starting from one that is not running', async () => {
  const folder = temporaryFolder('doctor');
  try {
    const port = await freePort();
    const told = async () => {
      const lines = await doctorOn(folder.path, '--http', `localhost:${port}`, '--https', 'none');
      return lines.filter((line) => /server|listen/.test(line));
    };
    const stopped = [
      'note   server is not running (start it: berth serve)',
      `ok     http can listen on localhost:${port}`,
    ];
    assert.deepEqual(await told(), stopped);
    using lock = new DatabaseSync(join(folder.path, 'lock.sqlite'));
    lock.exec('BEGIN EXCLUSIVE');
    writeFileSync(join(folder.path, 'lock.pid'), '4711\n');
    assert.deepEqual(await told(), [
      'note   server is starting or ending, or a command works on its data: process 4711',
    ]);
    lock.exec('ROLLBACK');
    assert.deepEqual(await told(), stopped);
  } finally {
    folder.remove();
  }
});

test('doctor looks at settings, room, names, clocks and certificates of a server', async () => {
  await using server = await startBerth({ database: 'sqlite' });
  const lines = await doctorOn(server.dataFolder);
  for (const pattern of [
    /^ok {5}settings are valid \(1 by flags\)$/,
    /^ok {5}free space at /,
    /^ok {5}store: ok$/,
    /^ok {5}name local\.berth\.localhost is /,
    /^ok {5}the clocks of server and this machine are \d s apart$/,
    /^ok {5}certificate of local\.berth\.localhost is trusted, for \d+ days more$/,
    /^(ok {5}name local\.blob\.berth\.localhost is |note {3}name local\.blob\.berth\.localhost does not resolve: az acr build)/,
    /^(ok {5}builds can be done here: buildah |note {3}builds cannot be done here: )/,
  ])
    assert(
      lines.some((line) => pattern.test(line)),
      `${pattern}\n${lines.join('\n')}`,
    );
});

test('doctor names what this machine lacks for builds, and asks nothing where others do them', async () => {
  const folder = temporaryFolder('doctor');
  try {
    const about = async (...args: string[]) =>
      (await doctorOn(folder.path, ...args)).filter((line) => /builds/.test(line));
    const [first = ''] = await about();
    assert.match(
      first,
      /^(ok {5}builds can be done here|note {3}builds cannot be done here: \S+ is missing|note {3}.*root)/,
    );
    assert.deepEqual(await about('--builds', 'off'), [
      'note   builds are left to agents that are started by themselves: berth agent',
    ]);
    assert.deepEqual(await about('--server', 'https://127.0.0.1:1'), []);
  } finally {
    folder.remove();
  }
});

test('doctor looks at a blob store elsewhere without a running server, and says whose it is', async () => {
  const [mine, other, blobs] = [temporaryFolder('doctor'), temporaryFolder('doctor'), temporaryFolder('doctor')];
  const data = join(mine.path, 'data');
  const about = async (folder: string, address: string) =>
    (await doctorOn(folder, '--blobs', address)).filter((line) => /blob (store|folder)/.test(line));
  try {
    assert.deepEqual(await about(data, blobs.path), [
      `ok     blob folder ${blobs.path}`,
      `ok     blob store ${blobs.path} is nobody's yet (claimed at the first start)`,
    ]);
    await using server = await startBerth({ database: 'sqlite', dataFolder: data, settings: { blobs: blobs.path } });
    await server.stop();
    assert.equal((await about(data, blobs.path))[1], `ok     blob store ${blobs.path} is of this installation`);
    await using another = await startBerth({ database: 'sqlite', dataFolder: join(other.path, 'data') });
    await another.stop();
    assert.equal(
      (await about(another.dataFolder, blobs.path))[1],
      `WRONG  blob store ${blobs.path} belongs to another installation`,
    );
    const endpoint = `http://127.0.0.1:${await freePort()}`;
    const [away = ''] = await about(data, `s3://nobody/?endpoint=${endpoint}`);
    assert.match(away, /^WRONG {2}blob store s3:\/\/nobody\/: ./);
  } finally {
    for (const folder of [mine, other, blobs]) folder.remove();
  }
});

test('doctor makes nothing: folders that are not there yet are still not there afterwards', async () => {
  const folder = temporaryFolder('doctor');
  try {
    const [data, blobs] = [join(folder.path, 'data'), join(folder.path, 'blobs')];
    for (const args of [[], ['--blobs', blobs]]) {
      const lines = await doctorOn(data, '--builds', 'off', ...args);
      assert.ok(lines.includes(`ok     data folder ${data} (made at the first start)`), lines.join('\n'));
      assert.deepEqual([existsSync(data), existsSync(blobs)], [false, false]);
    }
  } finally {
    folder.remove();
  }
});

test('doctor sees that the folder of blobs is gone, such as one whose disk is not mounted', async () => {
  const folder = temporaryFolder('doctor');
  const [dataFolder, blobs] = [join(folder.path, 'data'), join(folder.path, 'blobs')];
  const about = async () => (await doctorOn(dataFolder, '--blobs', blobs)).find((line) => line.includes('blob store'));
  try {
    await using server = await startBerth({ database: 'sqlite', dataFolder, settings: { blobs } });
    await server.stop();
    rmSync(blobs, { recursive: true });
    const gone = `WRONG  blob store ${blobs} is not there or empty, and this installation has had one`;
    assert.equal(await about(), gone);
    mkdirSync(blobs);
    assert.equal(await about(), gone);
  } finally {
    folder.remove();
  }
});

test('doctor says why PostgreSQL lets nobody in', async () => {
  const folder = temporaryFolder('doctor');
  try {
    const url = databaseUrl(await testPostgresUrl(), 'no_such_database');
    const lines = await doctorOn(join(folder.path, 'data'), '--database', url, '--blobs', folder.path);
    assert.ok(lines.includes('WRONG  database: database "no_such_database" does not exist'), lines.join('\n'));
  } finally {
    folder.remove();
  }
});
