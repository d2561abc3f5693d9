import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { agentsOf } from '../faults/running-build.ts';
import { armCaller } from '../support/arm-caller.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { asAdmin } from '../support/push-sample.ts';
import { run } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';

// The agent that a server starts by itself does a real build.

const folder = temporaryFolder('built-in-agent');
let first: BerthServer;
let server: BerthServer;
before(async () => {
  const context = join(folder.path, 'context');
  mkdirSync(context);
  writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY hello /hello\n');
  writeFileSync(join(context, 'hello'), 'hello\n');
  await run('tar', ['czf', join(folder.path, 'context.tar.gz'), '-C', context, 'Dockerfile', 'hello']);
  first = await startBerth();
  server = first;
});
after(async () => {
  await server.stop();
  await first.remove();
  folder.remove();
});

const runSchema = z.looseObject({ name: z.string(), properties: z.looseObject({ status: z.string() }) });
const uploadSchema = z.object({ uploadUrl: z.string(), relativePath: z.string() });

/** The status that the run ends with, and its log. */
const build = async (tag: string) => {
  const arm = await armCaller(server);
  const { uploadUrl, relativePath } = uploadSchema.parse(await arm.post('listBuildSourceUploadUrl'));
  const { pathname, search } = new URL(uploadUrl);
  const headers = { 'x-ms-blob-type': 'BlockBlob' };
  const body = readFileSync(join(folder.path, 'context.tar.gz'));
  assert.equal((await fetch(`${server.http}${pathname}${search}`, { method: 'PUT', headers, body })).status, 201);
  const { name } = runSchema.parse(
    await arm.post('scheduleRun', {
      ...{ type: 'DockerBuildRequest', dockerFilePath: 'Dockerfile', imageNames: [tag], sourceLocation: relativePath },
    }),
  );
  let status = '';
  await waitFor(`the run ${name} ends`, 180_000, async () => {
    status = runSchema.parse(await arm.get(`runs/${name}`)).properties.status;
    return !['Queued', 'Started', 'Running'].includes(status);
  });
  const { logLink } = z.looseObject({ logLink: z.string() }).parse(await arm.post(`runs/${name}/listLogSasUrl`));
  const link = new URL(logLink);
  return { status, log: await (await fetch(`${server.http}${link.pathname}${link.search}`)).text() };
};
const agents = () => agentsOf(server);

test('an image is built and pushed by an agent that comes with the first run', async () => {
  assert.deepEqual(agents(), []);
  const { status, log } = await build('app:one');
  assert.equal(status, 'Succeeded', `${log}\n${server.log()}`);
  assert.match(log, /Successfully pushed image: [^\r]*\/app:one\r\n/);
  assert.match(log, /Run ID: \w+ was successful after \d+s\r\n$/);
  assert.equal((await asAdmin(server, 'HEAD', '/v2/app/manifests/one')).status, 200);
  await waitFor('there is one agent', 20_000, () => agents().length === 1);
});

test('its runs reach a registry whose network rules let nobody else in, unless the bypass is off', async () => {
  const arm = await armCaller(server);
  const rules = (networkRuleBypassOptions: string) => ({
    properties: { networkRuleSet: { defaultAction: 'Deny', ipRules: [] }, networkRuleBypassOptions },
  });
  await arm.patch(rules('AzureServices'));
  assert.equal((await asAdmin(server, 'HEAD', '/v2/app/manifests/one')).status, 403);
  const letIn = await build('app:closed');
  assert.equal(letIn.status, 'Succeeded', letIn.log);
  await arm.patch(rules('None'));
  const keptOut = await build('app:shut');
  assert.equal(keptOut.status, 'Failed', keptOut.log);
  assert.match(keptOut.log, /failed to login to .* 403 \(Forbidden\)/);
  await arm.patch({ properties: { networkRuleSet: { defaultAction: 'Allow' } } });
  assert.equal((await asAdmin(server, 'HEAD', '/v2/app/manifests/closed')).status, 200);
});

test('it ends with its server, also with one that is killed, and works for the next', async () => {
  await server.kill();
  await waitFor('the agent is gone', 20_000, async () => agents().length === 0);
  server = await startBerth(server.again);
  assert.equal((await build('app:two')).status, 'Succeeded');
  assert.equal(await server.stop(), 0);
  assert.deepEqual(agents(), []);
});
