import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { armCaller } from '../support/arm-caller.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { HandAgent } from '../support/hand-agent.ts';
import { platformImage, pushSample } from '../support/push-sample.ts';
import { run } from '../support/run.ts';

// What bare words stand for in the steps of tasks: told by the installation, given to agents, shown with what is missing.

const berth = join(import.meta.dirname, '../../bin/berth');
let server: BerthServer;
before(async () => {
  const aliases = 'bash=tools/bash:5,terraform=registry.example/terraform:1.9';
  server = await startBerth({ settings: { builds: 'off', 'build-aliases': aliases } });
});
after(() => server.remove());

test('words of the installation are told to agents, and shown with what the registry lacks', async () => {
  const { loginServer } = server.bootstrap.registry;
  await pushSample(server, 'tools/bash', platformImage('bash'), '5');
  const { stdout } = await run(berth, ['task', 'aliases', '--data', server.dataFolder]);
  const shown = stdout.trim().split('\n').slice(1);
  assert.deepEqual(
    shown.map((line) => line.split(/\s+/).join(' ').trim()),
    [
      `az ${loginServer}/acr/az:latest missing`,
      `bash ${loginServer}/tools/bash:5 there`,
      `cssc ${loginServer}/acr/cssc:latest missing`,
      `curl ${loginServer}/acr/curl:latest missing`,
      'terraform registry.example/terraform:1.9 elsewhere',
    ],
  );
  const encodedTaskContent = Buffer.from('steps: []').toString('base64');
  await (await armCaller(server)).post('scheduleRun', { type: 'EncodedTaskRunRequest', encodedTaskContent });
  const agent = await HandAgent.join(server);
  const order = await agent.take();
  assert.equal(order.imageAliases?.find(({ name }) => name === 'bash')?.image, `${loginServer}/tools/bash:5`);
  await agent.finish(order, []);
});
