import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import type { Workbench } from '../end-to-end/workbench.ts';
import type { AzMachine } from '../support/az-machine.ts';
import { type BuildBench, openBuildBench } from '../support/build-bench.ts';
import { Daemon } from '../support/daemon.ts';
import { GitServer } from '../support/git-server.ts';
import { run } from '../support/run.ts';
import { waitFor } from '../support/wait-for.ts';

// A named pool with an agent of its own, as a person sets it up, and what its count and its end do.

const berth = join(import.meta.dirname, '../../bin/berth');
const runsSchema = z.array(z.looseObject({ runId: z.string(), status: z.string() }));
let bench: Workbench;
let az: AzMachine;
let folderOf: BuildBench['folderOf'];
let git: GitServer;
let agent: Daemon | undefined;

before(async () => {
  const settings = { builds: 'off', 'outbound-allow': '127.0.0.0/8' };
  ({ bench, az, folderOf } = await openBuildBench({ settings }));
  git = await GitServer.start(join(bench.folder, 'git'));
  await git.commit('team/app.git', 'main', { Dockerfile: 'FROM scratch\nCOPY note /note\n', note: 'a' });
});
after(async () => {
  await agent?.kill();
  await git?.[Symbol.asyncDispose]();
  await bench?.[Symbol.asyncDispose]();
});

const berthSays = async (...words: readonly string[]) =>
  (await run(berth, [...words, '--data', bench.server.dataFolder])).stdout;
const runs = async () => runsSchema.parse(await az.json('az acr task list-runs -r local'));
const queue = async () => {
  await az.type('az acr task run -r local -n pooled --no-wait -o none');
  return (await runs())[0]?.runId ?? assert.fail();
};
const statusOf = async (runId: string) => (await runs()).find((each) => each.runId === runId)?.status;

/** Of the pool, by a property that az acr agentpool does not know and leaves alone. */
async function shutsItsNetwork() {
  const look = 'test -n "$http_proxy" || { echo nothing is reached; exit 9; }';
  const folder = folderOf('networked', { Dockerfile: `FROM REGISTRY/debian:12\nRUN ${look}\n` });
  const build = `az acr build -r local -t networked:v1 --agent-pool fast ${folder}`;
  await az.type(build);
  const pool = 'az resource update --api-version 2019-06-01-preview --ids';
  const { id } = z.looseObject({ id: z.string() }).parse(await az.json('az acr agentpool show -r local -n fast'));
  await az.type(`${pool} ${id} --set properties.buildNetworkAccess=Disabled -o none`);
  await az.type('az acr agentpool update -r local -n fast -c 2 -o none');
  const output = await az.refused(build);
  assert.match(output, /This run has no network: its steps reach the registry and nothing else/);
  assert.match(output, /nothing is reached/);
  assert.match(output, /failed during run, err: .*This run has no network/);
}

test('a pool of its own: an agent with its token takes its runs, a count of 0 begins none, its end cancels them', async () => {
  await az.type('az acr agentpool create -r local -n fast --tier S1 -c 0 -o none');
  const token = (await berthSays('agent-token', 'create', '--pool', 'fast')).trim();
  agent = new Daemon({
    command: berth,
    args: [
      'agent',
      '--pool',
      'fast',
      '--server',
      bench.server.https,
      '--slots',
      '1',
      '--data',
      join(bench.folder, 'fast'),
      '--outbound-allow',
      '127.0.0.0/8',
    ],
    logFile: join(bench.folder, 'fast.log'),
    env: { BERTH_AGENT_TOKEN: token, NODE_EXTRA_CA_CERTS: bench.server.caPath },
  });
  await az.type(
    `az acr task create -r local -n pooled -c '${git.origin}/team/app.git#main' -f Dockerfile -t pooled:{{.Run.ID}} --agent-pool fast --commit-trigger-enabled false --base-image-trigger-enabled false -o none`,
  );
  const first = await queue();
  await sleep(5_000);
  assert.equal(await statusOf(first), 'Queued');
  assert.deepEqual(await az.json('az acr agentpool show -r local -n fast --queue-count'), { count: 1 });
  await az.type('az acr agentpool update -r local -n fast -c 1 -o none');
  await waitFor('its end', 90_000, async () => (await statusOf(first)) === 'Succeeded');
  assert.notEqual(await bench.manifest('pooled', first), undefined);
  assert.deepEqual(await az.json('az acr agentpool show -r local -n fast --queue-count'), { count: 0 });
  await shutsItsNetwork();
  await az.type('az acr agentpool update -r local -n fast -c 0 -o none');
  const second = await queue();
  await az.type('az acr agentpool delete -r local -n fast -y --no-wait');
  await waitFor('its end', 30_000, async () => (await statusOf(second)) === 'Canceled');
  await waitFor(
    'its token opens nothing',
    60_000,
    async () => !(await berthSays('agent-token', 'list')).includes('fast'),
  );
});
