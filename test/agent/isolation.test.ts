import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { z } from 'zod';
import { refuseStrangers } from '../../src/agent/executors/refuse-strangers.ts';
import { ownerFile } from '../../src/agent/executors/sweep.ts';
import { processesThat } from '../faults/running-build.ts';
import { Daemon } from '../support/daemon.ts';
import { withRunc } from '../support/other-runc.ts';
import { run, tryRun } from '../support/run.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';

// What an agent says of machines whose runc is not there or starts nothing. One that builds on such a machine is in own-agent.test.ts.

const berth = join(import.meta.dirname, '../../bin/berth');
const folder = temporaryFolder('isolation');
after(() => folder.remove());

const broken = runcThat('broken', 'echo out of order >&2; exit 1');
const killed = runcThat('killed', 'kill -9 $$');
const slow = runcThat('slow', 'sleep 600');

/** Tells its version, and does nothing else but this. */
function runcThat(name: string, line: string): string {
  const path = join(folder.path, name);
  writeFileSync(path, `#!/bin/sh\n[ "$1" != --version ] || { echo runc version 9.9.9; exit 0; }\n${line}\n`, {
    mode: 0o755,
  });
  return path;
}

async function say(runc: string, ...words: readonly string[]) {
  const { command, args } = withRunc(runc, berth, words);
  const { code, output } = await tryRun(command, args, { env: { BERTH_DATA: join(folder.path, 'data') } });
  return { code, output };
}

const noSignal = 'new AbortController().signal';

/** What a function of src/agent/executors resolves to on a machine with this runc. */
async function call(runc: string, file: string, name: string, words: (place: string) => string): Promise<unknown> {
  const module = join(import.meta.dirname, '../../src/agent/executors', file);
  const place = `{ folder: ${JSON.stringify(folder.path)}, uid: () => crypto.randomUUID() }`;
  const line = `console.log(JSON.stringify(await ${name}(${words(place)})))`;
  const program = `import { ${name} } from ${JSON.stringify(module)}; ${line}`;
  const { command, args } = withRunc(runc, process.execPath, ['--input-type=module', '--eval', program]);
  return JSON.parse((await run(command, args)).stdout);
}

const fallback = (why: string) =>
  new RegExp(
    `^warning: containers are kept apart by chroot alone \\(${why}\\), so a step can take the credentials of its run: .+`,
    'm',
  );

const cases = [
  {
    sentence: 'without runc containers are kept apart by chroot, and the agent warns of it',
    ...{ runc: '/dev/null', wish: 'auto', code: 0, isChroot: true, says: fallback('runc is missing') },
  },
  {
    sentence: 'where runc starts no container they are kept apart by chroot, and the agent says what runc said',
    ...{ runc: broken, wish: 'auto', code: 0, isChroot: true },
    says: /^warning: .*\(runc starts no containers here\).*: it says ".*out of order.*"; script\/build-tools makes a newer one$/m,
  },
  {
    sentence: 'an agent that is to have oci is none without runc, and says what brings it',
    ...{ runc: '/dev/null', wish: 'oci', code: 1, isChroot: false },
    says: /^missing: runc is missing: apt install runc, or do without by --build-isolation auto$/m,
  },
  {
    sentence: 'an agent that is to have oci is none where runc starts no container',
    ...{ runc: broken, wish: 'oci', code: 1, isChroot: false },
    says: /^missing: runc starts no containers here: it says ".*out of order/m,
  },
  {
    sentence: 'of a runc that was ended nothing is known: such an agent is none, and does not do without',
    ...{ runc: killed, wish: 'auto', code: 1, isChroot: false },
    says: /^missing: runc could not be tried here \(.*killed.*\): start the agent again when/m,
  },
] as const;

for (const { sentence, runc, wish, code, isChroot, says } of cases)
  test(sentence, async () => {
    const said = await say(runc, 'agent', '--check', '--build-isolation', wish);
    assert.match(said.output, says);
    assert.equal(said.code, code);
    assert.equal(/^executor: buildah \S+, chroot$/m.test(said.output), isChroot, said.output);
  });

test('of a runc that takes too long nothing is known', async () => {
  const trial = await call(slow, 'try-room.ts', 'tryRoom', (place) => `${place}, true, ${noSignal}, 2_000`);
  assert.deepEqual(trial, {
    ...{ kind: 'none', why: 'runc could not be tried here (it took more than 2 s)' },
    help: 'start the agent again when the machine has more to spare, or do without by --build-isolation chroot',
  });
});

const rooms = (data: string) => (existsSync(join(data, 'agent')) ? readdirSync(join(data, 'agent')) : []);
/** Of a room that a busy machine does not let go: whether no sweep would take it. */
const isKept = (data: string) => (room: string) => existsSync(join(data, 'agent', room, ownerFile));

for (const [word, flags, code] of [
  ['an agent', ['--server', 'http://127.0.0.1:1'], 0],
  ['a check', ['--check'], 143],
] as const)
  test(`${word} that is told to end while it tries runc leaves nothing`, async () => {
    const data = join(folder.path, word);
    const { command, args } = withRunc(slow, berth, ['agent', ...flags]);
    const env = { BERTH_DATA: data, BERTH_AGENT_TOKEN: 'berth-agent-of-nobody' };
    const agent = new Daemon({ command, args, logFile: `${data}.log`, env });
    const isTried = (room: string) => processesThat(({ groups }) => groups.includes(`/${room}`)).length > 0;
    try {
      const room = await waitFor('a room is tried', 120_000, () => rooms(data).find(isTried));
      agent.signal('SIGTERM');
      await waitFor('it has ended', 50_000, () => !agent.running);
      assert.equal(await agent.exited, code, agent.log());
      assert.deepEqual(rooms(data).filter(isKept(data)), []);
      await waitFor('no program is left', 120_000, () => !isTried(room));
    } finally {
      await agent.kill();
    }
  });

test('a check takes nothing of the folder of agents, and leaves none where there was none', async () => {
  const before = temporaryFolder('agent-check');
  try {
    const data = join(before.path, 'some/data');
    const { output } = await tryRun(berth, ['agent', '--check'], { env: { BERTH_DATA: data } });
    assert.match(output, /^executor: /m);
    const isBusy = rooms(data).length > 0;
    assert.deepEqual(readdirSync(before.path), isBusy ? ['some'] : []);
    assert.deepEqual(rooms(data).filter(isKept(data)), []);
    mkdirSync(join(data, 'agent/a-run'), { recursive: true });
    await tryRun(berth, ['agent', '--check'], { env: { BERTH_DATA: data } });
    assert.ok(rooms(data).includes('a-run'));
  } finally {
    before.remove();
  }
});

for (const [wish, isTaken] of [
  ['auto', false],
  ['chroot', true],
] as const)
  test(`pull requests from forks are refused where ${wish} means chroot alone, ${isTaken ? 'unless that is taken' : 'whatever else is taken'}`, async () => {
    const words = (place: string) => `'${wish}', ${place}, ${noSignal}`;
    const schema = z.object({ unpatched: z.array(z.string()), unasked: z.string().optional() });
    const facts = schema.parse(await call('/dev/null', 'check-host.ts', 'checkHost', words));
    const unpatched = facts.unpatched.filter((each) => !each.startsWith('buildah '));
    const stranger = { variables: { TriggeredBy: 'Pull Request' }, credentials: [] };
    const refuse = (taken: boolean) => () =>
      refuseStrangers(stranger, { ...facts, unpatched, hasBuildKit: false }, taken);
    assert.throws(refuse(false), /by chroot alone/);
    if (isTaken) refuse(true)();
    else assert.throws(refuse(true), /by chroot alone \(runc is missing\)/);
  });

test('doctor warns where containers are kept apart by chroot alone', async () => {
  const { output } = await say('/dev/null', 'doctor');
  assert.match(output, /^ok +builds can be done here: buildah \S+, chroot, /m);
  assert.match(output, /^note +builds: containers are kept apart by chroot alone \(runc is missing\)/m);
});
