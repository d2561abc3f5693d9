import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { armCaller } from '../support/arm-caller.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { HandAgent } from '../support/hand-agent.ts';
import { asAdmin, platformImage, pushSample } from '../support/push-sample.ts';

// `acr purge` in a step: the server does it with the rights of the run. Source: ACR tasks, section 5.

let server: BerthServer;
let agent: HandAgent;
let arm: Awaited<ReturnType<typeof armCaller>>;
before(async () => {
  server = await startBerth({ settings: { builds: 'off' } });
  agent = await HandAgent.join(server);
  arm = await armCaller(server);
});
after(() => server.remove());

const runSchema = z.looseObject({ name: z.string() });
const request = { type: 'EncodedTaskRunRequest', encodedTaskContent: Buffer.from('steps: []').toString('base64') };

/** What a run with these words prints, and how it ends. */
const purge = async (words: readonly string[], more: object = {}) => {
  runSchema.parse(await arm.post('scheduleRun', { ...request, ...more }));
  const order = await agent.take();
  const lines: string[] = [];
  let exitCode = -1;
  for await (const line of agent.client.command(order.lease, words, AbortSignal.timeout(30_000)))
    if ('line' in line) lines.push(line.line);
    else exitCode = line.exitCode;
  await agent.finish(order, []);
  return { lines, exitCode };
};
const tagsOf = async (repository: string): Promise<string[]> => {
  const answer = await asAdmin(server, 'GET', `/v2/${repository}/tags/list`);
  return z.object({ tags: z.array(z.string()) }).parse(await answer.json()).tags;
};

test('tags leave as the filter says, with the lines of acr purge', async () => {
  const { loginServer } = server.bootstrap.registry;
  for (const tag of ['v1', 'v2', 'keep']) await pushSample(server, 'team/app', platformImage(tag), tag);
  const words = ['acr', 'purge', '--filter', 'team/app:^v.*', '--ago', '0d'];
  const dry = await purge([...words, '--dry-run']);
  assert.deepEqual([dry.exitCode, dry.lines.at(-2)], [0, 'Number of tags to be deleted: 2']);
  assert.match(dry.lines[0] ?? '', /^DRY RUN: /);
  assert.equal((await tagsOf('team/app')).length, 3);
  const { lines, exitCode } = await purge(words);
  assert.equal(exitCode, 0);
  assert.equal(lines[0], 'Deleting tags for repository: team/app');
  assert.deepEqual(lines.slice(1, 3).toSorted(), [
    `Deleted ${loginServer}/team/app:v1`,
    `Deleted ${loginServer}/team/app:v2`,
  ]);
  assert.deepEqual(lines.slice(3), ['', 'Number of deleted tags: 2', 'Number of deleted manifests: 0']);
  assert.deepEqual(await tagsOf('team/app'), ['keep']);
});

test('what cannot be done is said, and nothing is deleted', async () => {
  const words = ['acr', 'purge', '--filter', 'team/app:.*', '--ago', '0d'];
  const wrong = await purge(['acr', 'purge', '--filter', 'team/app:.*']);
  assert.deepEqual(wrong, { lines: ['Failed to complete purge: required flag(s) "ago" not set'], exitCode: 1 });
  const other = await purge(['acr', 'tag', 'list']);
  assert.match(other.lines[0] ?? '', /"acr purge".*no other/);
  assert.equal(other.exitCode, 1);
  const nobody = await purge(words, { credentials: { sourceRegistry: { loginMode: 'None' } } });
  assert.match(nobody.lines.join('\n'), /Failed to complete purge: .*denied/);
  assert.equal(nobody.exitCode, 1);
  assert.deepEqual(await tagsOf('team/app'), ['keep']);
});
