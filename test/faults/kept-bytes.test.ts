import assert from 'node:assert/strict';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { armCaller } from '../support/arm-caller.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { HandAgent } from '../support/hand-agent.ts';
import { tryRun } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';
import { faultsInDatabase, leftoversIn, letTimePass } from './leftovers.ts';

// Logs of runs and files that were uploaded for them are no blobs of a repository. What works on the data as a whole knows them.

const berth = join(import.meta.dirname, '../../bin/berth');
const settings = { builds: 'off' };
const files = Buffer.from('the files of the run that waits');
const folder = temporaryFolder('build-files');
let server: BerthServer;
let endedRun: string;
let waitingRun: string;

const uploadSchema = z.object({ uploadUrl: z.string(), relativePath: z.string() });
const runSchema = z.looseObject({ name: z.string() });

before(async () => {
  server = await startBerth({ settings });
  const agent = await HandAgent.join(server);
  endedRun = await schedule(Buffer.from('files of the run that ends'));
  const order = await agent.take();
  await agent.finish(order, ['one line', 'another line']);
  await waitFor('its log is in one piece', 120_000, () => sealedLogs(server.dataFolder) === 1);
  waitingRun = await schedule(files);
});
after(async () => {
  await server.stop();
  await server.remove();
  folder.remove();
});

/** A build of an upload. */
async function schedule(body: Buffer): Promise<string> {
  const arm = await armCaller(server);
  const { uploadUrl, relativePath } = uploadSchema.parse(await arm.post('listBuildSourceUploadUrl'));
  const { pathname, search } = new URL(uploadUrl);
  const put = { method: 'PUT', headers: { 'x-ms-blob-type': 'BlockBlob' }, body: new Uint8Array(body) };
  assert.equal((await fetch(`${server.http}${pathname}${search}`, put)).status, 201);
  const build = { type: 'DockerBuildRequest', dockerFilePath: 'Dockerfile', imageNames: ['app:one'] };
  return runSchema.parse(await arm.post('scheduleRun', { ...build, sourceLocation: relativePath })).name;
}

function sealedLogs(dataFolder: string): number {
  const database = new DatabaseSync(join(dataFolder, 'berth.sqlite'), { readOnly: true, timeout: 5_000 });
  const row = database.prepare('select count(*) as found from runs where log_key is not null').get();
  database.close();
  return Number(row?.found);
}

async function requireDone(words: readonly string[]): Promise<void> {
  const { code, output } = await tryRun(berth, words);
  assert.equal(code, 0, output);
}

/** The log is read, and an agent that takes the other run gets its files. */
async function requireBoth(of: BerthServer): Promise<void> {
  const arm = await armCaller(of);
  const { logLink } = z.looseObject({ logLink: z.string() }).parse(await arm.post(`runs/${endedRun}/listLogSasUrl`));
  const { pathname, search } = new URL(logLink);
  const log = await (await fetch(`${of.http}${pathname}${search}`)).text();
  assert.match(log, /^one line\r\nanother line\r\nRun ID: \w+ was successful after 1s\r\n$/);
  const agent = await HandAgent.join(of);
  const order = await agent.take();
  assert.equal(order.runId, waitingRun);
  assert.deepEqual(await agent.files(order), files);
}

test('they are named, and nothing that they stand on is missing', () => {
  const { unnamed, missing } = leftoversIn(server.dataFolder);
  assert.deepEqual({ unnamed, missing }, { unnamed: [], missing: [] });
});

test('a backup has them', async () => {
  const backups = join(folder.path, 'backups');
  await requireDone(['backup', '--data', server.dataFolder, '--to', backups, '--with-secrets']);
  const data = join(folder.path, 'restored');
  await requireDone(['restore', '--data', data, '--from', backups]);
  await using restored = await startBerth({ dataFolder: data, settings });
  await requireBoth(restored);
});

test('a move has them', async () => {
  const settingsFile = (name: string, lines: Readonly<Record<string, string>>) => {
    const path = join(folder.path, `${name}.yaml`);
    writeFileSync(
      path,
      Object.entries(lines)
        .map((line) => `${line.join(': ')}\n`)
        .join(''),
    );
    return path;
  };
  const data = join(folder.path, 'moved');
  const from = settingsFile('here', { data: server.dataFolder });
  const keyFile = join(server.dataFolder, 'master.key');
  const to = settingsFile('there', { data, 'master-key-file': keyFile });
  await server.stop();
  await requireDone(['move', '--from', from, '--to', to]);
  writeFileSync(join(data, 'bootstrap.json'), JSON.stringify(server.bootstrap));
  await using moved = await startBerth({ dataFolder: data, settings: { ...settings, 'master-key-file': keyFile } });
  await requireBoth(moved);
});

test('fsck finds nothing wrong', async () => {
  const { code, output } = await tryRun(berth, ['fsck', '--data', server.dataFolder]);
  assert.equal(code, 0, output);
  assert.deepEqual(await faultsInDatabase(server.dataFolder), []);
});

test('after a long night they are still there: the sweep of orphans and garbage collection leave them', async () => {
  letTimePass(server.dataFolder);
  server = await startBerth({ ...server.again, settings: { ...settings, 'blob-grace': '1s', 'gc-interval': '1s' } });
  // A server that was away for longer than the grace removes nothing before another one is over.
  await waitFor('garbage may be collected', 120_000, async () => {
    const { code, output } = await tryRun(berth, ['gc', '--data', server.dataFolder]);
    if (code !== 0) throw new Error(output);
    return true;
  });
  await waitFor('the jobs have run', 120_000, () => jobsAreDone(server.dataFolder));
  await requireBoth(server);
  assert.deepEqual(leftoversIn(server.dataFolder).missing, []);
  assert(readdirSync(join(server.dataFolder, 'blob-store/blobs')).length > 0);
});

function jobsAreDone(dataFolder: string): boolean {
  const database = new DatabaseSync(join(dataFolder, 'berth.sqlite'), { readOnly: true, timeout: 5_000 });
  const row = database.prepare('select count(*) as due from jobs where run_at = 0').get();
  database.close();
  return Number(row?.due) === 0;
}
