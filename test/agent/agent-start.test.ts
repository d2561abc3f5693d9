import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Daemon } from '../support/daemon.ts';
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
  let asked = 0;
  const server = createServer(() => {
    asked += 1;
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert(address !== null && typeof address === 'object');
  const agent = new Daemon({
    command: berth,
    args: ['agent', '--server', `http://127.0.0.1:${address.port}`],
    logFile: join(folder.path, 'full.log'),
    env: { BERTH_DATA: data, BERTH_AGENT_TOKEN: 'berth-agent-of-nobody' },
  });
  try {
    await waitFor('it asks for a run, or ends', 120_000, () => asked > 0 || !agent.running);
    assert(asked > 0, agent.log());
    assert.equal(existsSync(left), false);
  } finally {
    await agent.stop();
    server.closeAllConnections();
    server.close();
  }
});
