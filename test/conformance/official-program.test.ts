import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { goTool, ModuleUnavailable } from '../support/go-tools.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { isComplete, runOfficialProgram, verdicts } from './official-program.ts';

describe('the official OCI conformance program', () => {
  const results = temporaryFolder('conformance');
  let server: BerthServer | undefined;
  let unavailable: string | undefined;
  before(async () => {
    unavailable = await whyUnavailable();
    server = await startBerth({ settings: { 'sparse-manifests': 'on' } });
  });
  after(async () => {
    await server?.remove();
    results.remove();
  });
  const running = () => {
    assert.ok(server !== undefined);
    return server;
  };

  test('passes every check, none skipped', async (context) => {
    if (unavailable !== undefined) {
      context.skip(unavailable);
      return;
    }
    const result = await runOfficialProgram(running(), results.path);
    assert.deepEqual(result.notPassed, []);
    assert.ok(isComplete(result), result.summary);
    console.log(verdicts(result));
  });
});

/** The program is not ours to keep here: where the module proxy does not have it, the reason is shown and nothing counted. */
async function whyUnavailable(): Promise<string | undefined> {
  try {
    await goTool('conformance');
    return undefined;
  } catch (error) {
    if (error instanceof ModuleUnavailable) return error.message;
    throw error;
  }
}
