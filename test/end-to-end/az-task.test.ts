import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { z } from 'zod';
import { AzMachine, azReleasesInTurn } from '../support/az-machine.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { HandAgent } from '../support/hand-agent.ts';
import { run } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';
import { type WebhookReceiver, webhookReceiver } from '../support/webhook-receiver.ts';

const timersSchema = z.array(z.looseObject({ name: z.string(), schedule: z.string(), status: z.string() }));
const webhooksSchema = z.object({ webhooks: z.array(z.looseObject({ url: z.string(), secret: z.string() })) });
const runSchema = z.looseObject({ runId: z.string(), status: z.string(), task: z.string().nullable() });
const credentialSchema = z.record(
  z.string(),
  z.looseObject({
    userName: z.looseObject({ value: z.string().nullish() }),
    password: z.looseObject({ value: z.string().nullish() }),
  }),
);

// Runs stay queued: nobody takes them.
const settings = {
  'outbound-allow': '127.0.0.0/8',
  'git-poll-interval': '1s',
  'git-hooks-url': 'https://hooks.example',
  builds: 'off',
};
const berth = join(import.meta.dirname, '../../bin/berth');
const folder = temporaryFolder('az-task');
after(() => folder.remove());

/** What tutorials type of tasks; both ends of the range of Azure CLIs. Source: az wire document, 2.20 to 2.22. */
for (const release of azReleasesInTurn('newest')) {
  describe(`az ${release.version}: tasks`, () => {
    let server: BerthServer;
    let az: AzMachine;
    let git: WebhookReceiver;
    const heads = { main: 'a'.repeat(40) };

    const timers = async (line: string) => timersSchema.parse(await az.json(line));
    const runs = async (more = '') => z.array(runSchema).parse(await az.json(`az acr task list-runs -r local ${more}`));
    const rest = async (method: string, path: string, body: object) =>
      await az.type(
        `az rest --method ${method} --url "$(az acr show -n local --query id -o tsv)${path}?api-version=2019-06-01-preview" --body '${JSON.stringify(body)}'`,
      );

    before(async () => {
      server = await startBerth({ settings });
      az = await AzMachine.setUp(server, release, join(folder.path, release.version));
      git = await webhookReceiver(({ path }, response) => {
        if (!path.includes('/info/refs')) return void response.writeHead(404).end();
        const line = `${heads.main} refs/heads/main\0symref=HEAD:refs/heads/main\n`;
        const size = (line.length + 4).toString(16).padStart(4, '0');
        response.end(`001e# service=git-upload-pack\n0000${size}${line}0000`);
      });
    });
    after(async () => {
      await git.close();
      await server.remove();
    });

    test('a task without a context: create, show, list, update, delete', async () => {
      const shown = z.looseObject({
        name: z.literal('hello-task'),
        status: z.literal('Enabled'),
        provisioningState: z.literal('Succeeded'),
        timeout: z.literal(3600),
        step: z.looseObject({ encodedTaskContent: z.string() }),
        trigger: z.looseObject({ timerTriggers: timersSchema }),
      });
      const created = await az.json(
        "az acr task create -r local -n hello-task --cmd 'bash echo hi' -c /dev/null --schedule '0 21 * * *' --set-secret PASSWORD=hunter2 --set COLOR=red",
      );
      shown.parse(created);
      shown.parse(await az.json('az acr task show -r local -n hello-task'));
      assert.doesNotMatch(JSON.stringify([created, await az.json('az acr task list -r local')]), /hunter2/);
      assert.match(await az.type('az acr task show -r local -n hello-task --with-secure-properties'), /hunter2/);
      await az.type('az acr task update -r local -n hello-task --status Disabled --set COLOR=blue -o none');
      const updated = await az.json('az acr task show -r local -n hello-task --with-secure-properties');
      assert.match(JSON.stringify(updated), /hunter2/, 'what an update leaves out stays');
      assert.partialDeepStrictEqual(updated, { status: 'Disabled' });
      assert.match(JSON.stringify(updated), /"blue"/);
      assert.deepEqual(await az.json('az acr task list -r local --query [].name'), ['hello-task']);
      await az.type('az acr task create -r local -n short-task --cmd hello-world -c /dev/null -o none');
      await az.type('az acr task delete -r local -n short-task -y');
      assert.match(await az.refused('az acr task show -r local -n short-task'), /not found/i);
    });

    test('timers: add, update, list, remove', async () => {
      const query = '--query trigger.timerTriggers';
      await az.type(
        "az acr task create -r local -n clock-task --cmd hello-world -c /dev/null --schedule '0 1 * * *' -o none",
      );
      await timers(
        `az acr task timer add -r local -n clock-task --timer-name night --schedule '30 3 * * 1-5' ${query}`,
      );
      const changed = await timers(
        `az acr task timer update -r local -n clock-task --timer-name night --enabled false ${query}`,
      );
      assert.deepEqual(
        changed.map(({ name, status }) => [name, status]),
        [
          ['t1', 'Enabled'],
          ['night', 'Disabled'],
        ],
      );
      await az.type('az acr task timer remove -r local -n clock-task --timer-name t1 -o none');
      const left = await timers('az acr task timer list -r local -n clock-task');
      assert.deepEqual(
        left.map(({ name, schedule }) => [name, schedule]),
        [['night', '30 3 * * 1-5']],
      );
      const refused = await az.refused(
        "az acr task timer add -r local -n clock-task --timer-name x --schedule '0 0 * * 7'",
      );
      assert.match(refused, /7 is no day of week: 0 to 6 are/);
      assert.match(
        await az.refused("az acr task timer add -r local -n clock-task --timer-name x --schedule '0 0 31 4 *'"),
        /never comes/,
      );
    });

    test('credentials: add, update, list, remove', async () => {
      await az.type('az acr task create -r local -n login-task --cmd hello-world -c /dev/null -o none');
      await az.type(
        'az acr task credential add -r local -n login-task --login-server other.example -u bob -p first -o none',
      );
      assert.match(
        await az.refused('az acr task credential add -r local -n login-task --login-server other.example -u bob -p x'),
        /other.example/,
      );
      await az.type(
        'az acr task credential update -r local -n login-task --login-server other.example -u bob -p second -o none',
      );
      const list = async () =>
        credentialSchema.parse(await az.json('az acr task credential list -r local -n login-task'));
      assert.equal((await list())['other.example']?.password.value, 'second');
      assert.doesNotMatch(await az.type('az acr task show -r local -n login-task'), /second/);
      const vault = 'https://team.vault.berth.localhost/secrets';
      await az.type(
        `az acr task credential update -r local -n login-task --login-server other.example -u ${vault}/user -p ${vault}/word --use-identity [system] -o none`,
      );
      assert.deepEqual((await list())['other.example']?.password, { type: 'Vaultsecret', value: `${vault}/word` });
      assert.match(
        await az.refused(
          'az acr task credential update -r local -n login-task --login-server other.example -u bob -p https://team.vault.berth.localhost/keys/word',
        ),
        /not https:\/\/<vault>\/secrets\/<name>/,
      );
      await az.type('az acr task credential remove -r local -n login-task --login-server other.example -o none');
      assert.deepEqual(await list(), {});
    });

    test('identities: assign, show, remove', async () => {
      await az.type('az acr task create -r local -n who-task --cmd hello-world -c /dev/null -o none');
      await az.type('az acr task identity assign -r local -n who-task -o none');
      const id = String(await az.json('az identity create -g berth -n builder --query id')).replaceAll('"', '');
      await az.type(`az acr task identity assign -r local -n who-task --identities '[system]' '${id}' -o none`);
      const identity = z.looseObject({ type: z.string(), principalId: z.guid().nullish() });
      const both = identity.parse(await az.json('az acr task identity show -r local -n who-task'));
      assert.match(both.type.replace(/\s/g, ''), /^SystemAssigned,UserAssigned$/i);
      // The removal of one identity is broken in the older client: it is sent as the newer one does.
      if (release.version === '2.45')
        await rest('patch', '/tasks/who-task', {
          identity: { type: 'UserAssigned', userAssignedIdentities: { [id]: null } },
        });
      else await az.type(`az acr task identity remove -r local -n who-task --identities '${id}' -o none`);
      const own = identity.parse(await az.json('az acr task identity show -r local -n who-task'));
      assert.match(own.type, /^SystemAssigned$/i);
      assert.equal(own.principalId, both.principalId);
    });

    test('run, list-runs, show-run, update-run, cancel-run', async () => {
      await az.type('az acr task run -r local -n clock-task --set A=b --no-wait -o none');
      const run = (await runs('-n clock-task'))[0] ?? assert.fail();
      assert.equal(run.status, 'Queued');
      assert.equal(run.task, 'clock-task');
      assert.deepEqual(
        (await runs('-n clock-task --run-status Queued')).map(({ runId }) => runId),
        [run.runId],
      );
      assert.deepEqual(await runs('-n other-task'), []);
      await az.type(`az acr task cancel-run -r local --run-id ${run.runId}`);
      const ended = runSchema.parse(await az.json(`az acr task show-run -r local --run-id ${run.runId}`));
      assert.equal(ended.status, 'Canceled');
      await az.type(`az acr task update-run -r local --run-id ${run.runId} --no-archive false -o none`);
      assert.match(await az.refused('az acr task run -r local -n no-such-task --no-wait'), /not found/i);
    });

    test('a task of a git repository waits for commits, and shows no token', async () => {
      const context = `${git.url}/team/app.git#main`;
      const line = `az acr task create -r local -n git-task -c '${context}' -f Dockerfile -t app:{{.Run.ID}} --git-access-token t0ken`;
      assert.doesNotMatch(await az.type(line), /t0ken/);
      await waitFor('the first look', 120_000, () =>
        git.received.some(({ headers }) => headers.authorization !== undefined),
      );
      // The newer client cannot send what it made of this itself.
      if (release.version === '2.45')
        await az.type('az acr task update -r local -n git-task --pull-request-trigger-enabled true -o none');
      const details = await az.type('az acr task show -r local -n git-task --with-secure-properties');
      assert.match(details, /t0ken/);
      assert.equal(/pullrequest/.test(details), release.version === '2.45');
      heads.main = 'b'.repeat(40);
      const [run] = await waitFor('the run', 120_000, async () => {
        const found = await runs('-n git-task');
        return found.length > 0 ? found : undefined;
      });
      assert.partialDeepStrictEqual(run, {
        sourceTrigger: { eventType: 'commit', commitId: heads.main, branchName: 'main' },
      });
    });

    test('a signed message of a git host starts the task once; another signature is refused', async () => {
      const shown = await run(berth, ['task', 'webhooks', 'git-task', '--json', '--data', server.dataFolder]);
      const [hook] = webhooksSchema.parse(JSON.parse(shown.stdout)).webhooks;
      const { url, secret } = hook ?? assert.fail();
      const text = JSON.stringify({
        ref: 'refs/heads/main',
        before: heads.main,
        after: 'c'.repeat(40),
        repository: { default_branch: 'main', clone_url: `${git.url}/team/app.git` },
      });
      const deliver = async (key: string) => {
        const signature = `sha256=${createHmac('sha256', key).update(text).digest('hex')}`;
        const headers = { 'x-github-event': 'push', 'x-hub-signature-256': signature };
        return (await fetch(url.replace('https://hooks.example', server.http), { method: 'POST', body: text, headers }))
          .status;
      };
      heads.main = 'c'.repeat(40);
      assert.deepEqual([await deliver('wrong'), await deliver(secret), await deliver(secret)], [404, 202, 202]);
      const started = (await runs('-n git-task')).filter((each) => JSON.stringify(each).includes('c'.repeat(40)));
      assert.equal(started.length, 1);
    });

    test('agent pools: create, show, list, update, delete; runs that wait for one are cancelled with it', async () => {
      const pool = z.looseObject({
        name: z.literal('pool1'),
        count: z.int(),
        tier: z.literal('S2'),
        os: z.literal('Linux'),
      });
      pool.parse(await az.json('az acr agentpool create -r local -n pool1 --tier S2'));
      assert.equal(pool.parse(await az.json('az acr agentpool update -r local -n pool1 -c 3')).count, 3);
      assert.equal(z.array(pool).parse(await az.json('az acr agentpool list -r local')).length, 1);
      await az.type(
        'az acr task create -r local -n pool-task --cmd hello-world -c /dev/null --agent-pool pool1 -o none',
      );
      await az.type('az acr task run -r local -n pool-task --no-wait -o none');
      const run = (await runs('-n pool-task'))[0] ?? assert.fail();
      assert.deepEqual(await az.json('az acr agentpool show -r local -n pool1 --queue-count'), { count: 1 });
      await az.type('az acr agentpool delete -r local -n pool1 -y --no-wait');
      await waitFor('the end of the run', 120_000, async () => (await runs('-n pool-task'))[0]?.status === 'Canceled');
      assert.equal((await runs('-n pool-task'))[0]?.runId, run.runId);
      await waitFor(
        'the end of the pool',
        120_000,
        async () => (await az.type('az acr agentpool list -r local -o tsv')) === '',
      );
      await az.type('az acr update -n local --sku Standard -o none');
      assert.match(await az.refused('az acr agentpool create -r local -n pool2'), /SKU Standard/);
      await az.type('az acr update -n local --sku Premium -o none');
    });

    test('a task run of a template is shown, made anew with another tag, and deleted', async () => {
      const body = (forceUpdateTag: string) => ({
        properties: { forceUpdateTag, runRequest: { type: 'TaskRunRequest', taskId: '' } },
      });
      const id = String(await az.json('az acr task show -r local -n clock-task --query id')).trim();
      const request = (tag: string) => ({
        properties: { ...body(tag).properties, runRequest: { type: 'TaskRunRequest', taskId: id } },
      });
      const result = async () =>
        await waitFor(
          'the run',
          120_000,
          async () => await az.json('az acr taskrun show -r local -n template-run --query runResult.name'),
        );
      await rest('put', '/taskRuns/template-run', request('1'));
      const first = await result();
      await rest('put', '/taskRuns/template-run', request('1'));
      assert.equal(await result(), first);
      await rest('put', '/taskRuns/template-run', request('2'));
      await waitFor('another run', 120_000, async () => (await result()) !== first);
      assert.deepEqual(await az.json('az acr taskrun list -r local --query [].name'), ['template-run']);
      await az.type('az acr taskrun delete -r local -n template-run -y');
      assert.deepEqual(await az.json('az acr taskrun list -r local'), []);
    });

    test('the address that a task tells of its base images is shown with its secrets alone', async () => {
      const address = 'https://hooks.example/key';
      const create = 'az acr task create -r local -n telling-task --cmd hello-world -c /dev/null -o none';
      await az.type(`${create} --update-trigger-endpoint ${address} --update-trigger-payload-type Token`);
      const query = '--query trigger.baseImageTrigger.[updateTriggerEndpoint,updateTriggerPayloadType]';
      const show = `az acr task show -r local -n telling-task ${query}`;
      assert.deepEqual(await az.json(show), [null, 'Token']);
      await az.type('az acr task update -r local -n telling-task --status Disabled -o none');
      assert.deepEqual(await az.json(`${show} --with-secure-properties`), [address, 'Token']);
    });

    test('what its images stand on is shown of a task, once a run has told', async () => {
      await az.type('az acr task create -r local -n base-task --cmd hello-world -c /dev/null -o none');
      await az.type('az acr task run -r local -n base-task --no-wait -o none');
      const agent = await HandAgent.join(server);
      const registry = server.bootstrap.registry.loginServer;
      const digest = `sha256:${'a'.repeat(64)}`;
      const runtime = { registry, repository: 'base', tag: 'v1', digest, reference: `${registry}/base:v1` };
      const dependencies = [{ runtime, buildtime: [] }];
      let order = await agent.take();
      for (; order.variables.TaskName !== 'base-task'; order = await agent.take()) await agent.finish(order, []);
      await agent.finish(order, [], { status: 'Succeeded', images: [], dependencies });
      const show = 'az acr task show -r local -n base-task --with-secure-properties --query step.baseImageDependencies';
      const found = await waitFor('the run is known', 120_000, async () => {
        const shown = z
          .array(z.looseObject({}))
          .nullable()
          .parse(await az.json(show));
        return shown === null || shown.length === 0 ? undefined : shown;
      });
      assert.partialDeepStrictEqual(found, [{ type: 'RunTime', registry, repository: 'base', tag: 'v1' }]);
      const query = 'step.baseImageDependencies';
      assert.deepEqual(await az.json(`az acr task show -r local -n base-task --query ${query}`), found);
      const listed = `az acr task list -r local --query "[?name=='base-task'].${query}"`;
      assert.deepEqual(await az.json(listed), [found]);
      await az.type('az acr task update -r local -n base-task --status Disabled -o none');
      assert.deepEqual(await az.json(`az acr task show -r local -n base-task --query ${query}`), found);
    });
  });
}
