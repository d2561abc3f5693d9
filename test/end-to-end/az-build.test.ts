import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import type { RunOrder, RunResult } from '../../src/wire/builds/agent-protocol.ts';
import { AzMachine, azReleases } from '../support/az-machine.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { HandAgent } from '../support/hand-agent.ts';
import { run } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

// az acr build, az acr run and what az does with runs; the agent is the test. Source: az wire document, 2.18, 2.19 and 4.

const folder = temporaryFolder('az-build');
const context = join(folder.path, 'context');
let server: BerthServer;
let agent: HandAgent;

before(async () => {
  mkdirSync(join(context, 'sub'), { recursive: true });
  writeFileSync(join(context, 'Dockerfile'), 'FROM scratch\nCOPY hello /hello\n');
  writeFileSync(join(context, 'Other'), 'FROM scratch\nCOPY sub /sub\n');
  writeFileSync(join(context, 'hello'), 'hello\n');
  writeFileSync(join(context, 'ignored'), 'ignored\n');
  writeFileSync(join(context, 'sub', 'deep'), 'deep\n');
  writeFileSync(join(context, '.dockerignore'), 'ignored\n');
  server = await startBerth({ settings: { builds: 'off' } });
  agent = await HandAgent.join(server);
});
after(async () => {
  await server.remove();
  folder.remove();
});

const runSchema = z.looseObject({
  runId: z.string(),
  status: z.string(),
  runType: z.string(),
  isArchiveEnabled: z.boolean(),
  outputImages: z.array(z.looseObject({ repository: z.string(), tag: z.string() })),
});
const image = { registry: 'local.berth.localhost', repository: 'app', tag: 'one', digest: `sha256:${'0a'.repeat(32)}` };

for (const release of azReleases) {
  describe(`az ${release.version}`, () => {
    let az: AzMachine;
    before(async () => {
      az = await AzMachine.setUp(server, release, join(folder.path, release.version));
    });

    /** What a command queues, and what it prints once the run has ended as `end` has it. */
    const during = async (line: string, end: (order: RunOrder) => Promise<void>) => {
      const typed = az.type(line);
      const order = agent.take();
      // A command that fails before it queues anything is the outcome.
      await Promise.race([typed, order]);
      await end(await order);
      return { order: await order, output: await typed };
    };
    const refusedDuring = async (line: string, end: (order: RunOrder) => Promise<void>) => {
      const refused = az.refused(line);
      await end(await agent.take());
      return await refused;
    };
    const succeed = async (order: RunOrder) => await agent.finish(order, ['building', 'built']);
    const failAs = (status: RunResult['status']) => async (order: RunOrder) =>
      await agent.finish(order, ['trying'], { status, message: 'it did not work', images: [], dependencies: [] });
    const show = async (runId: string) =>
      runSchema.parse(await az.json(`az acr task show-run -r local --run-id ${runId}`));

    test('a folder is built: its files arrive, and its log is followed to the end', async () => {
      let names: string[] = [];
      const { order, output } = await during(`az acr build -r local -t app:one ${context}`, async (taken) => {
        const packed = join(folder.path, `${taken.runId}.tar.gz`);
        writeFileSync(packed, await agent.files(taken));
        names = (await run('tar', ['tzf', packed])).stdout.split('\n').map((name) => name.replace(/\/$/, ''));
        await agent.finish(taken, ['STEP 1/2: FROM scratch', 'a second line'], {
          ...{ status: 'Succeeded', images: [image], dependencies: [] },
        });
      });
      assert.match(output, /STEP 1\/2: FROM scratch\s+a second line\s+Run ID: \w+ was successful after/);
      const { work } = order;
      assert(work.kind === 'dockerBuild');
      assert(names.includes(work.dockerFile) && names.includes('hello') && names.includes('sub/deep'));
      assert(!names.includes('ignored'));
      assert.deepEqual([work.imageNames, work.isPushEnabled], [['app:one'], true]);
      const shown = await show(order.runId);
      assert.deepEqual([shown.status, shown.runType], ['Succeeded', 'QuickBuild']);
      assert.deepEqual(shown.outputImages[0]?.repository, 'app');
    });

    test('every option of a build reaches its agent', async () => {
      const { order } = await during(
        `az acr build -r local -t app:a -t app:{{.Run.ID}} -f ${context}/Other --build-arg A=1 --secret-build-arg S=hunter2 ` +
          `--target last --platform linux/arm64/v8 --timeout 1234 --no-push ${context}`,
        succeed,
      );
      const { work, platforms, timeoutSeconds, masked } = order;
      assert(work.kind === 'dockerBuild');
      assert.match(work.dockerFile, /_Other$/);
      assert.deepEqual(work.imageNames, ['app:a', 'app:{{.Run.ID}}']);
      assert.deepEqual([work.isPushEnabled, work.target], [false, 'last']);
      assert.deepEqual(
        work.arguments.map(({ name, value, isSecret }) => `${name}=${value} ${isSecret}`),
        ['A=1 false', 'S=hunter2 true'],
      );
      assert(masked.includes('hunter2'));
      assert.deepEqual(platforms, [{ os: 'linux', architecture: 'arm64', variant: 'v8' }]);
      assert(timeoutSeconds > 1_200 && timeoutSeconds <= 1_234);
    });

    test('a run that failed, was too slow or was cancelled is told so', async () => {
      const build = `az acr build -r local -t app:one ${context}`;
      assert.match(await refusedDuring(build, failAs('Failed')), /trying.*Run failed/s);
      assert.match(await refusedDuring(build, failAs('Error')), /Run failed/);
      assert.match(await refusedDuring(build, failAs('Timeout')), /Run timed out/);
      assert.match(await refusedDuring(build, failAs('Canceled')), /Run was canceled/);
    });

    test('addresses are handed on as they were typed', async () => {
      for (const location of ['https://git.test/team/app.git#main:dir', 'oci://local.berth.test/context:one']) {
        const { order } = await during(`az acr build -r local -t app:one --no-logs ${location}`, succeed);
        assert.deepEqual(order.source, { kind: 'remote', location });
      }
    });

    test('steps come with the request, or in a file of the context', async () => {
      const { order } = await during(
        `az acr run -r local --cmd 'bash echo hi' --set name=value --set-secret key=hunter2 --timeout 600 /dev/null`,
        succeed,
      );
      assert(order.work.kind === 'encodedTask' && order.source.kind === 'none');
      assert.match(order.work.content, /version: v1\.1\.0.*cmd: bash echo hi/s);
      assert.deepEqual(order.work.values[1], { name: 'key', value: 'hunter2', isSecret: true });
      writeFileSync(join(context, 'acb.yaml'), 'steps:\n  - cmd: bash true\n');
      const ofFile = await during(`az acr run -r local -f acb.yaml ${context}`, succeed);
      assert(ofFile.order.work.kind === 'fileTask' && ofFile.order.source.kind === 'upload');
      assert.equal(ofFile.order.work.taskFile, 'acb.yaml');
    });

    test('a run is queued and left alone, found, cancelled, archived, and its log is read later', async () => {
      await az.type(`az acr build -r local -t app:one --no-wait ${context}`);
      const [queued] = z.array(runSchema).parse(await az.json('az acr task list-runs -r local --top 1'));
      assert.equal(queued?.status, 'Queued');
      const runId = queued?.runId ?? '';
      await az.type(`az acr task cancel-run -r local --run-id ${runId}`);
      assert.equal((await show(runId)).status, 'Canceled');
      await az.type(`az acr task cancel-run -r local --run-id ${runId}`);
      const archived = runSchema.parse(
        await az.json(`az acr task update-run -r local --run-id ${runId} --no-archive false`),
      );
      assert.equal(archived.isArchiveEnabled, true);
      assert.match(await az.type(`az acr task logs -r local --run-id ${runId}`), /was canceled/);
      const ids = z
        .array(z.looseObject({ runId: z.string() }))
        .parse(await az.json('az acr task list-runs -r local --run-status Canceled'));
      assert(ids.some((each) => each.runId === runId));
      assert.match(await az.refused('az acr task show-run -r local --run-id zz9'), /has no run 'zz9'/);
    });
  });
}
