import { join } from 'node:path';
import { test } from 'node:test';
import { z } from 'zod';
import { armCaller } from '../../test/support/arm-caller.ts';
import { startBerth } from '../../test/support/berth-server.ts';
import { run } from '../../test/support/run.ts';
import { waitFor } from '../../test/support/wait-for.ts';

test('lines about a run of a build name it', async () => {
  await using server = await startBerth({ settings: { builds: 'off' } });
  const arm = await armCaller(server);
  const encodedTaskContent = Buffer.from('steps: []').toString('base64');
  const made = await arm.post('scheduleRun', { type: 'EncodedTaskRunRequest', encodedTaskContent });
  const { name } = z.looseObject({ name: z.string() }).parse(made);
  await arm.post(`runs/${name}/cancel`);
  const program = join(import.meta.dirname, '../../bin/berth');
  const list = ['audit', 'list', '--registry', 'local', '--data', server.dataFolder];
  // The index of the audit follows a second or two behind.
  for (const line of [`run\\.finished .* run ${name} Canceled$`, `run\\.queued .* run ${name} Queued$`]) {
    const [operation = ''] = line.replace('\\', '').split(' ');
    await waitFor(`a line of ${operation}`, 120_000, async () => {
      const { stdout } = await run(program, [...list, '--operation', operation]);
      return new RegExp(line, 'm').test(stdout);
    });
  }
});
