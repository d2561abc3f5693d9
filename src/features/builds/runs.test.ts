import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { forEachDatabase } from '../../../test/support/databases.ts';
import { basic, sampleCircumstances } from '../../../test/support/sample-access.ts';
import { maxQueued, type SampleBuilds, sampleBuilds } from '../../../test/support/sample-builds.ts';
import { BerthError } from '../../core/errors.ts';
import type { Database } from '../../platform/database/database.ts';
import { streamOf } from '../../platform/journal/journal.ts';
import type { RunOrder, RunResult } from '../../wire/builds/agent-protocol.ts';
import type { NewRun, Run } from './run.ts';
import { parseRunFilter } from './run-filter.ts';
import { inBase64 } from './run-masks.ts';

const bytes = (text: string) => Buffer.from(text);
const done: RunResult = { status: 'Succeeded', images: [], dependencies: [] };
const image = { registry: 'contoso.berth.test', repository: 'app', tag: 'v1', digest: 'sha256:0a' };

forEachDatabase((_, open) => {
  let database: Database;
  let sample: SampleBuilds;
  before(async () => {
    database = await open();
    sample = await sampleBuilds(database);
  });
  after(() => sample.close());

  const schedule = (more: Partial<NewRun> = {}) => sample.runs.schedule(sample.newRun(more));
  const take = async (agent?: string): Promise<RunOrder> => (await sample.take(agent)) ?? assert.fail('no run waits');
  const find = async (runId: string): Promise<Run> =>
    (await sample.runs.find(sample.registryUid, runId)) ?? assert.fail(`no run ${runId}`);
  const empty = async () => {
    for (let order = await sample.take(); order !== undefined; order = await sample.take())
      await sample.leases.finish(order.lease, done);
  };
  const eventsOf = async (runId: string) => {
    const start = await sample.journal.start(streamOf(sample.registryUid, 'here'));
    const events = await sample.journal.after(start, 10_000);
    return events.filter(({ data }) => data.runId === runId);
  };

  test('a run goes from its queue through an agent to its end, and tells of it', async () => {
    const { runId } = await schedule();
    assert.match(runId, /^c[a-z]1$/);
    const order = await take();
    assert.deepEqual([order.runId, order.attempt, order.logOffset], [runId, 1, 0]);
    assert.equal((await find(runId)).status, 'Started');
    await sample.leases.appendLog(order.lease, 0, bytes('hello\n'));
    assert.equal((await find(runId)).status, 'Running');
    sample.held.advance(1_000);
    await sample.leases.finish(order.lease, { ...done, images: [image], cpuSeconds: 2.6 });
    const run = await find(runId);
    assert.deepEqual([run.status, run.images], ['Succeeded', [image]]);
    assert.deepEqual(sample.measured, [
      { metric: 'RunDuration', value: 1_000 },
      { metric: 'AgentPoolCPUTime', value: 3 },
    ]);
    const events = await eventsOf(runId);
    const types = events.map(({ type }) => type);
    assert.deepEqual(types, ['run.queued', 'run.started', 'run.changed', 'run.finished']);
    assert.deepEqual(events.at(-1)?.data.images, [image]);
    await assert.rejects(sample.leases.renew(order.lease), { error: 'leaseLost' });
  });

  test('a key makes one run, however often it is asked for', async () => {
    const runs = await Promise.all(Array.from({ length: 5 }, () => schedule({ key: 'push 1' }).catch(() => undefined)));
    const ids = new Set(runs.flatMap((run) => run?.runId ?? []));
    assert.equal(ids.size, 1);
    assert.equal((await schedule({ key: 'push 1' })).runId, [...ids][0]);
    await empty();
  });

  test('two agents never take the same run, and no registry keeps another waiting', async () => {
    const mine = [];
    for (let index = 0; index < 4; index += 1) mine.push((await schedule()).runId);
    const other = await sample.runs.schedule(sample.newRun({ registryUid: sample.otherUid }));
    const orders = await Promise.all(Array.from({ length: 3 }, (_, index) => take(`agent-${index}`)));
    const taken = orders.map(({ runId, registryUrl }) => `${registryUrl} ${runId}`);
    assert.equal(new Set(taken).size, 3);
    // Of five that wait, the one of the other registry is among the first taken once one of ours is at work.
    const more = await take('agent-4');
    const all = [...orders, more].map(({ runId }) => runId);
    assert(all.includes(other.runId), `${other.runId} is not among ${all}`);
    for (const { lease } of [...orders, more]) await sample.leases.finish(lease, done);
    await empty();
  });

  test('an agent that refuses strangers leaves their runs to others for ten minutes', async () => {
    const trigger: NewRun['trigger'] = {
      ...{ kind: 'source', id: 'one', eventType: 'pullrequest', commitId: 'c1', pullRequestId: '7' },
      ...{ repositoryUrl: 'https://git.example/a.git', branchName: 'main', providerType: 'Github' },
    };
    const weak = async () => await sample.take('weak', undefined, { refusesStrangers: true });
    const stranger = await schedule({ trigger, authority: { kind: 'none' } });
    const ours = await schedule({ trigger });
    const first = (await weak()) ?? assert.fail('a pull request of our own waits');
    assert.equal(first.runId, ours.runId);
    assert.equal(await weak(), undefined);
    const other = await take('other');
    assert.equal(other.runId, stranger.runId);
    const alone = await schedule({ trigger, authority: { kind: 'none' } });
    sample.held.advance(599_000);
    assert.equal(await weak(), undefined);
    sample.held.advance(1_000);
    const late = (await weak()) ?? assert.fail('nobody else took it');
    assert.equal(late.runId, alone.runId);
    for (const { lease } of [first, other, late]) await sample.leases.finish(lease, done);
  });

  test('a pool takes its own runs only', async () => {
    await sample.writePool('Fast', { count: 5 });
    const { runId } = await schedule({ agentPoolName: 'Fast' });
    assert.equal(await sample.take(), undefined);
    const elsewhere = { registryUid: sample.otherUid, key: 'fast' };
    assert.equal(await sample.take('agent', elsewhere), undefined);
    assert.equal(await sample.runs.countQueued(sample.registryUid, 'fast'), 1);
    const order = await sample.take('agent', { registryUid: sample.registryUid, key: 'fast' });
    assert.equal(order?.runId, runId);
    await sample.leases.finish(order?.lease ?? '', done);
  });

  test('a pool has as many runs at work as its count says, whoever asks, and gives each what its tier has', async () => {
    const pool = { registryUid: sample.registryUid, key: 'sized' };
    await sample.writePool('Sized', { count: 0, tier: 'S2' });
    for (let index = 0; index < 4; index += 1) await schedule({ agentPoolName: 'sized', cpus: 1 });
    assert.equal(await sample.take('first', pool), undefined);
    await sample.writePool('Sized', { count: 2 });
    const asked = await Promise.all([1, 2, 3, 4].map((agent) => sample.take(`agent-${agent}`, pool)));
    const [one = assert.fail(), two = assert.fail(), ...others] = asked.filter((order) => order !== undefined);
    assert.deepEqual(others, []);
    assert.deepEqual([one.limits.cpus, one.limits.memoryMiB, one.limits.processes], [4, 8_192, 100]);
    await sample.leases.finish(one.lease, done);
    const three = (await sample.take('agent-1', pool)) ?? assert.fail('one ended, so another begins');
    assert.equal(await sample.take('agent-2', pool), undefined);
    for (const { lease } of [two, three]) await sample.leases.finish(lease, done);
    await sample.leases.finish((await sample.take('agent-1', pool))?.lease ?? '', done);
  });

  test('runs of a pool whose network is shut are told so; others keep theirs', async () => {
    const pool = { registryUid: sample.registryUid, key: 'closed' };
    const hasNetwork = async () => {
      await schedule({ agentPoolName: 'closed' });
      const order = (await sample.take('agent', pool)) ?? assert.fail('it waits');
      await sample.leases.finish(order.lease, done);
      return order.hasNetwork;
    };
    await sample.writePool('Closed', {});
    assert.equal(await hasNetwork(), true);
    await sample.writePool('Closed', { buildNetworkAccess: 'Disabled' });
    assert.equal(await hasNetwork(), false);
    await sample.writePool('Closed', { count: 2 });
    assert.equal(await hasNetwork(), false);
    await sample.writePool('Closed', { buildNetworkAccess: 'Enabled' });
    assert.equal(await hasNetwork(), true);
  });

  test('a registry has so many runs that wait, however fast they are asked for; triggers go on', async () => {
    await empty();
    const ask = () =>
      schedule().then(
        () => 'queued',
        (error: unknown) => (error instanceof BerthError ? error.error : assert.fail(String(error))),
      );
    const answers: string[] = [];
    while (answers.length < maxQueued + 10)
      answers.push(...(await Promise.all(Array.from({ length: 10 }, () => ask()))));
    assert.deepEqual(
      answers.filter((answer) => answer === 'queued').length,
      maxQueued,
      JSON.stringify([...new Set(answers)]),
    );
    assert.equal(await ask(), 'queueFull');
    const { journal, runs, newRun, otherUid } = sample;
    await journal.transaction(async (tx, append) => void (await runs.scheduleIn(tx, append, newRun())));
    await runs.schedule(newRun({ registryUid: otherUid }));
    await database.transaction(async (tx) => {
      await tx.deleteFrom('runs').where('status', '=', 'Queued').execute();
    });
    assert.equal(await ask(), 'queued');
    await empty();
  });

  test('a run that waits is cancelled at once, one at work when its agent hears of it', async () => {
    const waiting = await schedule();
    assert.equal((await sample.runs.cancel(sample.registryUid, waiting.runId, 'olivia')).status, 'Canceled');
    assert.match((await sample.logText(waiting.runId)) ?? '', /was canceled after 0s\r\n$/);
    assert.equal(await sample.take(), undefined);
    const { runId } = await schedule();
    const { lease } = await take();
    await sample.runs.cancel(sample.registryUid, runId, 'olivia');
    assert.equal((await sample.leases.renew(lease)).isCanceled, true);
    await sample.leases.finish(lease, { ...done, status: 'Canceled' });
    assert.equal((await sample.runs.cancel(sample.registryUid, runId, 'olivia')).status, 'Canceled');
    await assert.rejects(sample.runs.cancel(sample.registryUid, 'zz99', 'olivia'), { error: 'runUnknown' });
  });

  test('runs are looked at while one is at work, and not before or after', async () => {
    const planned = async () => {
      const rows = await database.read
        .selectFrom('jobs')
        .select('uid')
        .where('kind', '=', 'builds.runs.watch')
        .where('state', '=', 'waiting')
        .execute();
      return rows.length;
    };
    const forget = () => database.transaction(async (tx) => void (await tx.deleteFrom('jobs').execute()));
    for (let order = await sample.take(); order !== undefined; order = await sample.take())
      await sample.leases.finish(order.lease, done);
    await forget();
    await sample.runJob('builds.runs.watch');
    await schedule();
    assert.equal(await planned(), 0);
    const { lease } = await take();
    assert.equal(await planned(), 1);
    await forget();
    await sample.runJob('builds.runs.watch');
    assert.equal(await planned(), 1);
    await sample.leases.finish(lease, done);
    await forget();
    await sample.runJob('builds.runs.watch');
    assert.equal(await planned(), 0);
  });

  test('a run whose agent is lost begins again once, then it is an error; its log stays', async () => {
    const { runId } = await schedule();
    const first = await take('first');
    await sample.leases.appendLog(first.lease, 0, bytes('half a line'));
    await sample.loseAgents();
    await sample.runJob('builds.runs.overdue');
    assert.equal((await find(runId)).status, 'Queued');
    await assert.rejects(sample.leases.appendLog(first.lease, 11, bytes('x')), { error: 'leaseLost' });
    const second = await take('second');
    assert.deepEqual([second.runId, second.attempt, second.logOffset], [runId, 2, 11]);
    await sample.leases.appendLog(second.lease, 11, bytes('again\n'));
    await sample.loseAgents();
    await sample.runJob('builds.runs.overdue');
    const run = await find(runId);
    assert.equal(run.status, 'Error');
    assert.match(run.errorMessage ?? '', /agent second.*lost/);
    const lines = (await sample.logText(runId))?.split('\r\n') ?? [];
    assert.deepEqual(lines.slice(0, 3), [
      'half a line',
      'The agent first that had the run was lost: the run begins again',
      'again',
    ]);
    assert.match(lines[3] ?? '', /^Run ID: \w+ failed after 0s. Error: the agent second/);
  });

  test('a run that its agent never heard of is handed out as if for the first time', async () => {
    const { runId } = await schedule();
    for (let lost = 0; lost < 3; lost += 1) {
      assert.equal((await take()).attempt, 1);
      await sample.loseAgents();
      await sample.runJob('builds.runs.overdue');
    }
    assert.equal((await find(runId)).status, 'Queued');
    assert.equal(await sample.logText(runId), '');
    await empty();
  });

  test('the server ends a run whose time is up when its agent does not', async () => {
    const { runId } = await schedule({ timeoutSeconds: 300 });
    const { lease } = await take();
    sample.held.advance(330_000);
    await sample.runJob('builds.runs.overdue');
    assert.equal((await find(runId)).status, 'Started');
    sample.held.advance(60_000);
    await sample.runJob('builds.runs.overdue');
    assert.equal((await find(runId)).status, 'Timeout');
    await assert.rejects(sample.leases.renew(lease), { error: 'leaseLost' });
  });

  test('secrets that a run gets on its way are hidden from then on, whichever process is told of them', async () => {
    const other = await sampleBuilds(database, sample);
    const { runId } = await schedule();
    const { lease } = await take();
    await sample.leases.appendLog(lease, 0, bytes('early hunter2\n'));
    await other.leases.hide(lease, ['hunter2']);
    await sample.leases.appendLog(lease, 14, bytes('late hunter2\n'));
    await other.leases.hide(lease, ['swordfish']);
    assert.equal(await sample.logText(runId), 'early hunter2\r\nlate ***\r\n');
    await sample.leases.finish(lease, { ...done, status: 'Failed', message: 'no hunter2, no swordfish' });
    assert.equal((await find(runId)).errorMessage, 'no ***, no ***');
    await assert.rejects(other.leases.hide(lease, ['more']), { error: 'leaseLost' });
    await other.close();
  });

  test('a token in the address of the files is hidden as it is written and as it is meant', async () => {
    const token = 'ghp_0123456789abcdefghij';
    for (const [address, hidden, header] of [
      ['https://s3cret%21@git.example/app.git#main', ['s3cret%21', 's3cret!'], 'dummy:s3cret!'],
      ['https://bob:pass%zzword@files.example/app.tar.gz', ['pass%zzword'], 'bob:pass%zzword'],
      [`https://${token}:x-oauth-basic@github.com/a/b`, [token, 'x-oauth-basic'], `${token}:x-oauth-basic`],
      ['https://git.example/app.git', [], undefined],
    ] as const) {
      await schedule({ source: { kind: 'remote', location: address } });
      const { lease, masked, credentials } = await take();
      const [{ username, password } = assert.fail()] = credentials;
      const headers = [`${username}:${password}`, ...(header === undefined ? [] : [header])];
      const inHeaders = headers.map((text) => Buffer.from(text).toString('base64'));
      const inOthers = [...hidden, password].flatMap(inBase64);
      assert.deepEqual(masked, [...hidden, password, ...inHeaders, ...inOthers]);
      await sample.leases.finish(lease, done);
    }
  });

  test('what a run has to say of itself is in its log before an agent has it', async () => {
    const { runId } = await schedule({ notes: ['something is left out.'] });
    assert.equal(await sample.logText(runId), 'something is left out.\r\n');
    const { lease, logOffset } = await take();
    await sample.leases.appendLog(lease, logOffset, bytes('begun\n'));
    assert.equal(await sample.logText(runId), 'something is left out.\r\nbegun\r\n');
    await sample.leases.finish(lease, done);
  });

  test('a run hides 50 secrets of 25 KiB, and is refused more', async () => {
    await schedule();
    const { lease } = await take();
    const secrets = (what: string) => Array.from({ length: 50 }, (_, at) => `${what}${at}`.padEnd(25 * 1024, 'x'));
    await sample.leases.hide(lease, secrets('a'));
    await sample.leases.hide(lease, secrets('a'));
    await assert.rejects(sample.leases.hide(lease, secrets('b')), { error: 'requestInvalid' });
    await sample.leases.finish(lease, done);
  });

  test('a log has CRLF, hides secrets, takes each byte once, and ends at its limit', async () => {
    const secret = { name: 'KEY', value: 'hunter2-hunter2', isSecret: true };
    const { runId } = await schedule({
      runType: 'QuickBuild',
      work: {
        ...{ kind: 'dockerBuild', dockerFile: 'Dockerfile', imageNames: [], isPushEnabled: true, noCache: false },
        arguments: [secret],
      },
    });
    const { lease, masked, credentials } = await take();
    const { username, password } = credentials[0] ?? { username: '', password: 'none' };
    const header = Buffer.from(`${username}:${password}`).toString('base64');
    for (const text of [secret.value, password, header]) assert(masked.includes(text));
    const text = `one ${secret.value}\ntwo\r\nthree`;
    const kept = await sample.leases.appendLog(lease, 0, bytes(text));
    assert.equal(kept.kind, 'kept');
    assert.deepEqual(await sample.leases.appendLog(lease, 0, bytes(text)), { kind: 'elsewhere', offset: text.length });
    assert.equal(await sample.logText(runId), 'one ***\r\ntwo\r\nthree');
    assert.equal(await sample.logText(runId, { start: 4, end: 8 }), '***\r');
    await sample.leases.appendLog(lease, text.length, bytes(`\n${'x'.repeat(5_000)}`));
    await sample.leases.appendLog(lease, text.length + 5_001, bytes('never kept'));
    await sample.leases.finish(lease, { ...done, status: 'Failed', message: `cmd ${secret.value} failed` });
    assert.equal((await find(runId)).errorMessage, 'cmd *** failed');
    const before = await sample.logText(runId);
    assert.match(before ?? '', /what follows is left out\.\r\n$/);
    const row = () => database.read.selectFrom('runs').selectAll().where('run_id', '=', runId).executeTakeFirst();
    assert.equal((await row())?.sealed_order, null);
    await sample.runJob('builds.runs.ended');
    assert.equal((await row())?.log_key !== null, true);
    assert.equal(await sample.logText(runId), before);
    assert.equal(await sample.logText(runId, { start: 1, end: 3 }), 'ne');
    const told = JSON.stringify([await find(runId), await eventsOf(runId), await row()]);
    assert(!told.includes(secret.value));
  });

  /** With what the run was given for its own registry. */
  const signIn = async ({ credentials: [given = assert.fail()] }: Pick<RunOrder, 'credentials'>) =>
    await sample.here.authorize({
      registry: sample.here.directory.byUid(sample.registryUid) ?? assert.fail(),
      authorization: basic(given.username, given.password),
      action: 'connect',
      circumstances: sampleCircumstances,
    });

  test('what a run signs in with is good until its end, and no longer', async () => {
    await schedule();
    const order = await take();
    await signIn(order);
    await sample.leases.finish(order.lease, done);
    await sample.runJob('builds.runs.ended');
    await sample.here.directory.refresh();
    await assert.rejects(signIn(order), { error: 'credentialsWrong' });
  });

  test('a run whose caller is gone ends as an error that says why', async () => {
    const { runId } = await schedule({
      authority: { kind: 'principal', principalId: 'nobody', principalType: 'User' },
    });
    assert.equal(await sample.take(), undefined);
    const run = await find(runId);
    assert.deepEqual([run.status, run.errorMessage?.includes('gone or disabled')], ['Error', true]);
  });

  test('a run that is lent nothing is told which other registries of the installation everybody may pull from', async () => {
    const told = async () => {
      await schedule({ authority: { kind: 'none' } });
      const { lease, credentials, publicServers } = await take();
      await sample.leases.finish(lease, done);
      assert.deepEqual(credentials, []);
      return publicServers;
    };
    const change = { registryUid: sample.otherUid, actor: 'test' };
    assert.deepEqual(await told(), []);
    await sample.here.registries.setAnonymousPull({ ...change, isOn: true });
    assert.deepEqual(await told(), ['fabrikam.berth.test:5443']);
    await sample.here.registries.setAnonymousPull({ ...change, isOn: false });
    assert.deepEqual(await told(), []);
  });

  test('what the lost attempt of a run signed in with is good no more', async () => {
    const { runId } = await schedule();
    const first = await take('first');
    await signIn(first);
    await sample.loseAgents();
    await sample.runJob('builds.runs.overdue');
    assert.equal((await find(runId)).status, 'Queued');
    await sample.here.directory.refresh();
    await assert.rejects(signIn(first), { error: 'credentialsWrong' });
    // Written down with the run's return: a server that is killed here leaves it to the next.
    await sample.runJob('builds.runs.attempt-lost');
    const second = await take('second');
    await signIn(second);
    await sample.leases.finish(second.lease, done);
  });

  test('a run that lacks credentials for a registry says so, and leaves no token behind', async () => {
    const { runId } = await schedule({ customRegistries: [{ server: 'elsewhere.test', identity: '[system]' }] });
    assert.equal(await sample.take(), undefined);
    assert.match((await find(runId)).errorMessage ?? '', /no credentials for elsewhere\.test/);
    const left = await database.read
      .selectFrom('secrets')
      .where('name', '=', 'run')
      .where('display_name', '=', runId)
      .select('uid')
      .execute();
    assert.deepEqual(left, []);
  });

  test('runs are listed newest first, by what a filter says in any case', async () => {
    const list = async (filter: string, top = 100) =>
      (await sample.runs.list(sample.otherUid, parseRunFilter(filter), top)).map(({ runId }) => runId);
    const other = (more: Partial<NewRun>) =>
      sample.runs.schedule(sample.newRun({ ...more, registryUid: sample.otherUid }));
    const a = (await other({ task: { uid: 'u1', name: 'Nightly' } })).runId;
    const b = (await other({ isArchiveEnabled: true })).runId;
    const order = await take();
    await sample.leases.finish(order.lease, { ...done, images: [image] });
    assert.deepEqual((await list('')).slice(0, 2), [b, a]);
    assert.deepEqual(await list('', 1), [b]);
    assert.deepEqual(await list(`TaskName eq 'nightly' and Status eq 'succeeded'`), [a]);
    assert.deepEqual(await list(`taskname eq 'nightly' or RUNID eq '${b}'`), [b, a]);
    assert.deepEqual(await list(`contains(OutputImageManifests, 'app@sha256:0a')`), [a]);
    assert.deepEqual(await list(`isArchiveEnabled eq true`), [b]);
    assert.deepEqual(await list(`(status eq 'queued') and createTime gt 2029-01-01T00:00:00Z`), [b]);
    assert.deepEqual(await list(`createTime lt '2029-01-01'`), []);
    await empty();
  });

  test('old runs leave with their logs, but for archived ones', async () => {
    const kept = await schedule();
    const gone = await schedule();
    await sample.runs.update(sample.registryUid, kept.runId, { isArchiveEnabled: true }, 'olivia');
    for (let order = await sample.take(); order !== undefined; order = await sample.take()) {
      await sample.leases.appendLog(order.lease, 0, bytes('x\n'));
      await sample.leases.finish(order.lease, done);
    }
    await sample.runJob('builds.runs.ended');
    sample.held.advance(2_000);
    await sample.runJob('builds.runs.expire');
    assert.equal(await sample.runs.find(sample.registryUid, gone.runId), undefined);
    assert.equal(await sample.logText(kept.runId), 'x\r\n');
    const keys = await database.read.selectFrom('kept_bytes').select('storage_key').execute();
    const stored = [];
    for await (const { key } of sample.store.list('')) stored.push(key);
    assert.deepEqual(stored.toSorted(), keys.map((row) => row.storage_key).toSorted());
  });
});

for (const [what, text] of [
  ['an unknown property', `name eq 'x'`],
  ['an unknown operator', `status has 'x'`],
  ['an open text', `status eq 'x`],
  ['an open bracket', `(status eq 'x'`],
  ['a function that is not known', `startswith(status, 'x')`],
  ['something behind it', `status eq 'x' 'y'`],
  ['no time', `createTime gt 'yesterday'`],
  ['a prototype', `constructor eq 'x'`],
  ['too much depth', `${'('.repeat(50)}status eq 'x'${')'.repeat(50)}`],
] as const)
  test(`a filter is refused with ${what}`, () => {
    assert.throws(() => parseRunFilter(text), { error: 'filterInvalid' });
  });
