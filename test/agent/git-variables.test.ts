import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { armCaller } from '../support/arm-caller.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { GitServer } from '../support/git-server.ts';
import { run } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';

// What `{{.Run.GitTag}}` and its neighbours are in runs on a git repository, by what stands behind the `#`.

const folder = temporaryFolder('git-variables');
const steps = 'steps:\n  - cmd: acr "tag={{.Run.GitTag}} branch={{.Run.Branch}} commit={{.Run.Commit}}"\n';
const runSchema = z.looseObject({ name: z.string(), properties: z.looseObject({ status: z.string() }) });
let git: GitServer;
let server: BerthServer;
let commit = '';
before(async () => {
  git = await GitServer.start(folder.path);
  commit = await git.commit('team/app.git', 'main', { 'acb.yaml': steps });
  await run('git', ['-C', join(folder.path, 'team/app.git'), 'tag', 'v1.4']);
  server = await startBerth({ settings: { 'outbound-allow': '127.0.0.0/8' } });
});
after(async () => {
  await server?.remove();
  await git?.[Symbol.asyncDispose]();
  folder.remove();
});

/** What a run says of itself: a command that is not known is named. */
async function saidOf(fragment: string): Promise<string | undefined> {
  const arm = await armCaller(server);
  const sourceLocation = `${git.origin}/team/app.git${fragment}`;
  const { name } = runSchema.parse(
    await arm.post('scheduleRun', { type: 'FileTaskRunRequest', taskFilePath: 'acb.yaml', sourceLocation }),
  );
  await waitFor(`the run ${name} ends`, 120_000, async () => {
    const { status } = runSchema.parse(await arm.get(`runs/${name}`)).properties;
    return !['Queued', 'Started', 'Running'].includes(status);
  });
  const { logLink } = z.looseObject({ logLink: z.string() }).parse(await arm.post(`runs/${name}/listLogSasUrl`));
  const { pathname, search } = new URL(logLink);
  const log = await (await fetch(`${server.http}${pathname}${search}`)).text();
  return /'acr (.*?)' is not done/.exec(log)?.[1] ?? log;
}

test('a run on a tag knows the tag, one on a branch the branch, and each its commit', async () => {
  const said = (tag: string, branch: string) => `tag=${tag} branch=${branch} commit=${commit}`;
  assert.equal(await saidOf('#v1.4'), said('v1.4', ''));
  assert.equal(await saidOf('#refs/tags/v1.4'), said('v1.4', ''));
  assert.equal(await saidOf('#refs/heads/main'), said('', 'main'));
  assert.equal(await saidOf(`#${commit}`), said('', ''));
  assert.equal(await saidOf(`#${commit.slice(0, 7)}`), said('', ''), 'also abbreviated');
});
