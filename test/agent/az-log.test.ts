import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { AzMachine, azReleases } from '../support/az-machine.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { HandAgent } from '../support/hand-agent.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// How `az` follows a run: its own program beside a server, and an agent in the hands of the test.

/** Runs `az` in its own Python, and tells how often its reader of logs slept. */
const counting = `import runpy, sys, time
real, slept = time.sleep, []
def sleep(seconds):
    if sys._getframe(1).f_globals.get('__name__', '').endswith('acr._stream_utils'):
        slept.append(seconds)
    real(seconds)
time.sleep = sleep
try:
    runpy.run_module('azure.cli', run_name='__main__', alter_sys=True)
finally:
    print('it slept', slept)
`;

const folder = temporaryFolder('az-log');
let server: BerthServer;
let agent: HandAgent;

before(async () => {
  server = await startBerth({ settings: { builds: 'off' } });
  agent = await HandAgent.join(server);
  writeFileSync(join(folder.path, 'counting.py'), counting);
});
after(async () => {
  await server.remove();
  folder.remove();
});

for (const release of azReleases)
  test(`az ${release.version} follows a run to its end, and never sleeps`, async () => {
    const az = await AzMachine.setUp(server, release, join(folder.path, release.version));
    const program = join(folder.path, 'counting.py');
    const following = az.type(`python3 '${program}' acr run -r local --cmd 'a command' /dev/null`);
    const order = await agent.take();
    await sleep(2_000);
    await agent.client.log(order.lease, 0, Buffer.from('one\n'));
    await sleep(2_000);
    await agent.client.log(order.lease, 4, Buffer.from('two\n'));
    await sleep(1_000);
    await agent.finish({ ...order, logOffset: 8 }, ['three']);
    const lines = (await following).trimEnd().split(/\r?\n/);
    assert.deepEqual(lines.toSpliced(3, 1), ['one', 'two', 'three', 'it slept []']);
  });
