import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { type LeaseRequest, leaseRequestSchema } from '../../src/wire/builds/agent-protocol.ts';
import { Daemon } from '../support/daemon.ts';
import { withRunc } from '../support/other-runc.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';

// What an agent does before it asks for its first run.

const berth = join(import.meta.dirname, '../../bin/berth');
const folder = temporaryFolder('agent-start');
after(() => folder.remove());

test('an agent begins also where one that was killed has left a full disk', async () => {
  const data = join(folder.path, 'full');
  mkdirSync(join(data, 'agent'), { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=6m', 'none', join(data, 'agent')]);
  const left = join(data, 'agent/cb1-left');
  mkdirSync(left);
  assert.throws(() => writeFileSync(join(left, 'disk'), Buffer.alloc(8 * 1024 * 1024)), { code: 'ENOSPC' });
  const hourAgo = Date.now() / 1000 - 3_600;
  utimesSync(left, hourAgo, hourAgo);
  await askedBy((flags) => ({ command: berth, args: ['agent', ...flags] }), data);
  assert.equal(existsSync(left), false);
});

for (const [wish, refuses] of [
  ['auto', true],
  ['chroot', undefined],
] as const)
  test(`an agent without runc that is told ${wish} ${refuses ? 'leaves' : 'does not leave'} runs of strangers to others`, async () => {
    const flagsOf = (flags: readonly string[]) => ['agent', '--build-isolation', wish, ...flags];
    const request = await askedBy((flags) => withRunc('/dev/null', berth, flagsOf(flags)), join(folder.path, wish));
    assert.equal(request.refusesStrangers, refuses);
  });

/** What an agent says as it asks for its first run. */
async function askedBy(
  lineOf: (flags: readonly string[]) => { readonly command: string; readonly args: readonly string[] },
  data: string,
): Promise<LeaseRequest> {
  const asked: LeaseRequest[] = [];
  const server = createServer(async (request) => {
    asked.push(leaseRequestSchema.parse(await json(request)));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert(address !== null && typeof address === 'object');
  const agent = new Daemon({
    ...lineOf(['--server', `http://127.0.0.1:${address.port}`]),
    logFile: `${data}.log`,
    env: { BERTH_DATA: data, BERTH_AGENT_TOKEN: 'berth-agent-of-nobody' },
  });
  try {
    await waitFor('it asks for a run, or ends', 120_000, () => asked.length > 0 || !agent.running);
    return asked[0] ?? assert.fail(agent.log());
  } finally {
    await agent.stop();
    server.closeAllConnections();
    server.close();
  }
}
