import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Workbench } from '../end-to-end/workbench.ts';
import { leftOf, scheduleLongBuild } from '../faults/running-build.ts';
import { armCaller } from '../support/arm-caller.ts';
import type { AzMachine } from '../support/az-machine.ts';
import { type BuildBench, openBuildBench } from '../support/build-bench.ts';
import { Daemon, type DaemonOptions } from '../support/daemon.ts';
import { withRunc } from '../support/other-runc.ts';
import { run } from '../support/run.ts';
import { waitFor } from '../support/wait-for.ts';

// Agents that a person starts: `berth agent`, beside a server that has none of its own.

const berth = join(import.meta.dirname, '../../bin/berth');
let bench: Workbench;
let az: AzMachine;
let folderOf: BuildBench['folderOf'];
let token: string;

before(async () => {
  ({ bench, az, folderOf } = await openBuildBench({ settings: { builds: 'off' } }));
  const made = await run(berth, ['agent-token', 'create', '--pool', 'default', '--data', bench.server.dataFolder]);
  token = made.stdout.trim();
});
after(async () => {
  for (const agent of agents) await agent.kill();
  await bench[Symbol.asyncDispose]();
});

const agents: Daemon[] = [];

type Machine = (command: string, args: readonly string[]) => Pick<DaemonOptions, 'command' | 'args'>;
const asItIs: Machine = (command, args) => ({ command, args });
const withoutRunc: Machine = (command, args) => withRunc('/dev/null', command, args);

function startAgent(name: string, env: Readonly<Record<string, string>> = {}, machine = asItIs): Daemon {
  const words = ['agent', '--server', bench.server.https, '--slots', '1', '--data', join(bench.folder, name)];
  const agent = new Daemon({
    ...machine(berth, words),
    logFile: join(bench.folder, `${name}.log`),
    env: { BERTH_AGENT_TOKEN: token, NODE_EXTRA_CA_CERTS: bench.server.caPath, ...env },
  });
  agents.push(agent);
  return agent;
}

const runsOf = (name: string) => {
  const folder = join(bench.folder, name, 'agent');
  return existsSync(folder) ? readdirSync(folder) : [];
};
const commandLines = () =>
  readdirSync('/proc').flatMap((id) => {
    try {
      return /^\d+$/.test(id) ? [readFileSync(`/proc/${id}/cmdline`, 'latin1')] : [];
    } catch {
      // It ended while we looked.
      return [];
    }
  });
const isRunning = (commandLine: string) => commandLines().includes(commandLine);

const runSchema = z.looseObject({
  name: z.string(),
  properties: z.looseObject({ status: z.string(), runErrorMessage: z.string().nullable() }),
});

/** Resolves when the run has ended. */
async function endOf(runId: string) {
  const arm = await armCaller(bench.server);
  let { properties } = runSchema.parse(await arm.get(`runs/${runId}`));
  await waitFor(`the run ${runId} ends`, 120_000, async () => {
    properties = runSchema.parse(await arm.get(`runs/${runId}`)).properties;
    return !['Queued', 'Started', 'Running'].includes(properties.status);
  });
  return properties;
}

test('without a token, or where it is wrong, an agent says so', async () => {
  const outcome = await bench.fail(berth, [
    'agent',
    '--server',
    bench.server.https,
    '--data',
    join(bench.folder, 'none'),
  ]);
  assert.match(outcome, /needs --server URL, and a token of its pool in BERTH_AGENT_TOKEN/);
});

test('an agent that is killed leaves nothing, and another does its run', async () => {
  const first = startAgent('first');
  const once = 'if [ "$(date +%s)" -lt "$END" ]; then echo waiting; sleep 3456; fi; echo done by another';
  // The first has until then to begin, and the second begins after it.
  const endMs = Date.now() + 60_000;
  const end = Math.floor(endMs / 1000);
  const steps = `steps:\n  - cmd: REGISTRY/debian:12 bash -c '${once}'\n    env: [END=${end}]\n`;
  const folder = folderOf('steps', { 'acb.yaml': steps });
  const typed = az.type(`az acr run -r local -f acb.yaml ${folder}`);
  await waitFor('it is at work', 60_000, () => isRunning('sleep\x003456\0'));
  // Lines are on their way for a moment.
  await sleep(2_000);
  await first.kill();
  await waitFor('its processes are gone', 20_000, () => !isRunning('sleep\x003456\0'));
  assert.equal(runsOf('first').length, 1);
  await sleep(Math.max(0, endMs - Date.now()));
  const second = startAgent('second');
  const output = await typed;
  assert.match(output, /waiting[\s\S]*done by another/);
  assert.match(output, /was successful/);
  const again = startAgent('first');
  await waitFor('what was left is removed', 60_000, () => runsOf('first').length === 0);
  assert.equal(await again.stop(), 0);
  assert.equal(await second.stop(), 0);
});

test('steps of an agent without the network reach the registry and nothing else', async () => {
  const agent = startAgent('closed', { BERTH_BUILD_NETWORK: 'off' });
  const look = 'env | grep -i _proxy; (exec 3<>/dev/tcp/10.88.0.1/3128) 2>/dev/null && echo a proxy; echo looked';
  const steps = `steps:\n  - cmd: REGISTRY/debian:12 bash -c '${look}'\n`;
  const folder = folderOf('closed-steps', { 'acb.yaml': steps });
  const output = await az.type(`az acr run -r local -f acb.yaml ${folder}`);
  assert.match(output, /^looked\r?$/m);
  assert.doesNotMatch(output, /a proxy|_proxy=/i);
  assert.equal(await agent.stop(), 0);
});

test('what the environment of a step says is in no list of processes', async () => {
  const agent = startAgent('discreet');
  const [secret, sleeping] = ['a $HOME, "that" nobody=lists', 'sleep\x006789\0'];
  const right = createHash('sha256').update(secret).digest('hex');
  const look = 'printf %s "$TOKEN" | sha256sum | grep "$RIGHT" || exit 9; echo $HTTP_PROXY | grep 3128 || exit 8';
  const content = JSON.stringify({
    env: [`RIGHT=${right}`],
    steps: [
      {
        cmd: `${bench.named.host}/debian:12 bash -c '${look}; sleep 6789 & wait'`,
        env: [`TOKEN=${secret}`],
        timeout: 600,
      },
    ],
  });
  const request = { type: 'EncodedTaskRunRequest', platform: { os: 'Linux' }, timeout: 600 };
  const arm = await armCaller(bench.server);
  const { name: runId } = runSchema.parse(
    await arm.post('scheduleRun', { ...request, encodedTaskContent: Buffer.from(content).toString('base64') }),
  );
  const seen: string[] = [];
  await waitFor('it is at work', 60_000, async () => {
    seen.push(...commandLines().filter((line) => line.includes('nobody=lists')));
    return isRunning(sleeping) || runSchema.parse(await arm.get(`runs/${runId}`)).properties.status === 'Failed';
  });
  assert(isRunning(sleeping), 'it has its environment');
  assert.deepEqual(seen, []);
  await arm.post(`runs/${runId}/cancel`);
  assert.equal((await endOf(runId)).status, 'Canceled');
  assert.equal(await agent.stop(), 0);
});

test('a run that takes longer than its time limit is ended and told so, and nothing of it is left', async () => {
  const runId = await scheduleLongBuild(bench.server, 'sleep 5678');
  // Nobody may ask for less than five minutes.
  const database = new DatabaseSync(join(bench.server.dataFolder, 'berth.sqlite'), { timeout: 5_000 });
  database.prepare('update runs set timeout_seconds = 40 where run_id = ?').run(runId);
  database.close();
  const agent = startAgent('limited');
  await waitFor('it is at work', 40_000, () => isRunning('sleep\x005678\0'));
  const [room = ''] = runsOf('limited');
  assert.match(room, new RegExp(`^${runId}-`));
  const { status, runErrorMessage } = await endOf(runId);
  assert.equal(status, 'Timeout');
  assert.match(runErrorMessage ?? '', /time limit/);
  await waitFor('its room is gone', 60_000, () => runsOf('limited').length === 0);
  // The kernel takes back the device of a disk when nobody looks at it any more.
  await waitFor('nothing is left', 60_000, async () => (await leftOf(bench.server, room)).length === 0);
  assert.equal(isRunning('sleep\x005678\0'), false);
  assert.equal(await agent.stop(), 0);
});

test('without runc images are built and steps reach each other as ever, kept apart by chroot: agent and log warn of it', async () => {
  const agent = startAgent('chroot', {}, withoutRunc);
  const folder = folderOf('chroot-steps', {
    Dockerfile: 'FROM REGISTRY/debian:12\nRUN echo "built as $(id -u)" > /made\n',
    'acb.yaml': `networks:
  - name: apart
steps:
  - build: -t {{.Run.Registry}}/chroot:v1 .
  - push: ["{{.Run.Registry}}/chroot:v1"]
  - id: service
    cmd: "{{.Run.Registry}}/chroot:v1 bash -c 'sleep 4568'"
    detach: true
  - cmd: "{{.Run.Registry}}/chroot:v1 bash -c 'cat /made; echo $WORD; getent hosts service; hostname; head -3 /proc/net/fib_trie'"
    env: ["WORD=from its environment"]
    id: looks
  - cmd: "{{.Run.Registry}}/chroot:v1 bash -c 'getent hosts service || echo knows no service; cat /proc/self/cgroup'"
    network: apart
    cpus: 0.5
  - cmd: docker stop service
`,
  });
  const output = await az.type(`az acr run -r local -f acb.yaml ${folder}`);
  assert.match(output, /built as 0\s+from its environment\s+10\.88\.\d+\.\d+\s+service\s+looks\s/);
  assert.match(output, /knows no service[\s\S]*\/berth-agent\/[^/]+\/part-1\s/);
  assert.match(output, /was successful/);
  const weakness = 'containers are kept apart by chroot alone (runc is missing), so a step can take the credentials';
  assert.ok(output.includes(`Warning: ${weakness}`), output);
  assert.match(agent.log(), /buildah \S+, chroot/);
  assert.ok(agent.log().includes(weakness), agent.log());
  await waitFor('the service is gone', 60_000, () => !isRunning('sleep\x004568\0'));
  assert.equal(await agent.stop(), 0);
});
