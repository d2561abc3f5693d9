import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { besideCell } from '../../src/agent/beside-cell.ts';
import { fetchGit, type GitContext } from '../../src/agent/context/git-context.ts';
import { parseLocation } from '../../src/agent/context/location.ts';
import { createBuildah } from '../../src/agent/executors/buildah.ts';
import { type Cell, givenFile } from '../../src/agent/executors/cell.ts';
import { unreadableFiles } from '../../src/agent/executors/check-host.ts';
import { createOutboundProxy } from '../../src/agent/executors/outbound-proxy.ts';
import { sweepLeftovers } from '../../src/agent/executors/sweep.ts';
import { openUserCell } from '../../src/agent/executors/user-cell.ts';
import { withoutRights } from '../../src/agent/executors/without-rights.ts';
import { parseApart } from '../../src/agent/parse-apart.ts';
import { readProgram } from '../../src/agent/program.ts';
import { RunFailure } from '../../src/agent/run-failure.ts';
import { secretInCell } from '../../src/agent/steps/secret-file.ts';
import { createAddressCheck } from '../../src/platform/outbound/address-check.ts';
import { Daemon } from '../support/daemon.ts';
import { GitServer } from '../support/git-server.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { waitFor } from '../support/wait-for.ts';

// The rooms that runs live in, and git in them. As root: with the kernel's own namespaces, mounts and control groups.

const folder = temporaryFolder('rooms');
const limits = { cpus: 1, memoryMiB: 256, diskMiB: 128, processes: 64 };
const root = join(folder.path, 'runs');
let count = 0;
const openRoom = () => {
  count += 1;
  return openUserCell({ name: `room-${process.pid}-${count}`, root, limits, firstUserId: 1_900_000_000, hosts: [] });
};
after(() => folder.remove());

describe('a room', () => {
  let cell: Cell;
  before(async () => {
    cell = await openRoom();
  });
  after(async () => cell.close());
  const shell = (script: string) => cell.read(['sh', '-c', script]);

  test('its root is nobody outside', async () => {
    assert.equal((await shell('id -u')).trim(), '0');
    assert.match(await shell('cat /proc/self/uid_map'), /^\s*0\s+1900000000\s+65536\s*$/);
  });
  test('it sees its own processes alone', async () => {
    const ids = (await shell('ls /proc')).split('\n').filter((name) => /^\d+$/.test(name));
    assert.ok(ids.length < 8, `${ids.length} processes`);
  });
  test('it reads and writes nothing that belongs to others', async () => {
    const secret = join(folder.path, 'secret');
    mkdirSync(secret, { mode: 0o700 });
    assert.notEqual(await cell.run(['ls', secret]), 0);
    assert.notEqual(await cell.run(['touch', '/etc/berth-was-here']), 0);
    assert.equal(existsSync('/etc/berth-was-here'), false);
    await shell('touch /tmp/inside /run/inside /var/tmp/inside');
    assert.equal(existsSync('/tmp/inside'), false);
  });
  test('of the machine it sees programs and certificates, and no files, devices or settings', async () => {
    const open = join(folder.path, 'open');
    writeFileSync(open, 'everybody may read it\n', { mode: 0o644 });
    assert.notEqual(await cell.run(['cat', open]), 0);
    assert.equal(
      await shell('ls -d /home /opt /srv /boot /etc/hostname /etc/shadow /dev/loop0 2> /dev/null || true'),
      '',
    );
    assert.equal(
      await shell("find / -xdev -path /proc -prune -o -path '/usr/*' -prune -o -type s -print 2> /dev/null || true"),
      '',
    );
    assert.match(await shell('cat /etc/passwd'), /^root:[^\n]*\nnobody:[^\n]*\n$/);
    assert.equal((await shell('readlink /proc/1/root /proc/self/cwd')).trim(), '/\n/mnt');
  });
  test('what is given to a program is read by it, and is no file of the room', async () => {
    const given = `given-${process.pid}`;
    assert.equal(await cell.read(['cat', givenFile], { given }), given);
    const stopper = new AbortController();
    const running = cell.run(['sleep', '654'], { given, signal: stopper.signal });
    await waitFor('it runs', 60_000, async () => (await cell.run(['pgrep', '-f', 'sleep 654'])) === 0);
    assert.equal(await shell(`grep -rl ${given} /mnt /run /dev/shm /etc 2> /dev/null || true`), '');
    stopper.abort(new Error('enough'));
    await assert.rejects(running, /enough/);
  });
  test('a secret of a build is a copy, and no link leads out of where secrets lie', async () => {
    await shell(
      'mkdir -p secrets/v/deep workspace; echo s3cret > secrets/v/deep/x; echo own > workspace/y; touch outside',
    );
    await shell(
      'ln -sf /proc/self/fd/3 secrets/v/given; ln -sf ../../outside secrets/v/out; ln -sf deep/x secrets/v/near',
    );
    const folders = new Map([
      ['/vault', '/mnt/secrets/v'],
      ['/workspace', '/mnt/workspace'],
    ]);
    const from = { cell, folders, workingDirectory: '/workspace', signal: AbortSignal.timeout(120_000) };
    for (const [path, text] of [
      ['/vault/deep/x', 's3cret\n'],
      ['/vault/near', 's3cret\n'],
      ['y', 'own\n'],
    ] as const) {
      const [, copy = ''] =
        /^id=a,src=(\/mnt\/tmp\/secret-\w+)$/.exec(await secretInCell(`id=a,src=${path}`, from)) ?? [];
      assert.equal(await cell.read(['cat', '--', copy]), text);
    }
    for (const path of [
      '/vault/given',
      '/vault/out',
      '/vault/none',
      '/vault/../../outside',
      '/mnt/outside',
      '../outside',
    ])
      await assert.rejects(secretInCell(`id=a,src=${path}`, from), /is not among the files of the run/, path);
  });
  test('a builder without credentials looks for images as well', async () => {
    let said = '';
    const output = {
      add: async (chunk: Uint8Array) => {
        said += Buffer.from(chunk).toString();
      },
      end: async () => {},
    };
    const pulled = createBuildah({ cell, env: {}, isolation: 'oci' }).pull('127.0.0.1:1/none', {
      output,
      signal: AbortSignal.timeout(120_000),
    });
    await assert.rejects(pulled);
    assert.match(said, /connection refused/);
  });
  test('a full disk is full for it alone', async () => {
    assert.match(
      await shell('head -c 300M /dev/zero 2>&1 > filler; rm -f filler; echo done'),
      /No space left[\s\S]*done/,
    );
  });
  test('it has no more swap than memory', async () => {
    const name = `room-${process.pid}-${count}`;
    const files = [
      `/sys/fs/cgroup/memory/berth-agent/${name}/memory.memsw.limit_in_bytes`,
      `/sys/fs/cgroup/berth-agent/${name}/memory.swap.max`,
    ].filter((file) => existsSync(file));
    for (const file of files) assert.ok(Number(readFileSync(file, 'utf8')) <= limits.memoryMiB * 1024 * 1024, file);
  });
  test('it has as much of a processor as its limit says', () => {
    assert.equal(processorsOf(groupOf(`room-${process.pid}-${count}`)), limits.cpus);
  });
  test('where processors are short, all rooms together get less than another program', () => {
    const files = [
      ['/sys/fs/cgroup/cpu/berth-agent/cpu.shares', 1024],
      ['/sys/fs/cgroup/berth-agent/cpu.weight', 100],
    ] as const;
    const [found] = files.filter(([file]) => existsSync(file));
    assert.ok(found !== undefined);
    const [file, usual] = found;
    assert.equal(Number(readFileSync(file, 'utf8')), usual / 4);
  });
  test('a program has the part of a processor that it is given, and what it leaves behind ends with it', async () => {
    const group = groupOf(`room-${process.pid}-${count}`);
    const parts = () => readdirSync(group).filter((name) => name.startsWith('part-'));
    const look = 'setsid sleep 876 > /dev/null 2>&1 & cat /proc/self/cgroup';
    const own = await cell.read(['sh', '-c', look], { cpus: 0.25 });
    assert.match(own, new RegExp(`/berth-agent/${basename(group)}/part-1$`, 'm'));
    assert.equal(isRunning('sleep\x00876'), false);
    assert.deepEqual(parts(), []);

    const stopper = new AbortController();
    const running = cell.run(['sleep', '765'], { cpus: 0.25, signal: stopper.signal });
    await waitFor('it runs', 60_000, () => isRunning('sleep\x00765'));
    assert.deepEqual(
      parts().map((part) => processorsOf(join(group, part))),
      [0.25],
    );
    stopper.abort(new Error('enough'));
    await assert.rejects(running, /enough/);
    assert.equal(isRunning('sleep\x00765'), false);
    assert.deepEqual(parts(), []);
  });
  test('more processes than its limit are not made', async () => {
    const output = await shell('for i in $(seq 100); do sleep 5 & done 2>&1; true').catch((error: unknown) =>
      String(error),
    );
    assert.match(output, /fork|Resource temporarily unavailable/i);
  });
  test('what reads files of strangers beside it has no right of root, no network, and no files of the agent', async () => {
    const secret = join(folder.path, 'key');
    writeFileSync(secret, 'of the agent', { mode: 0o600 });
    const { words, env } = besideCell(cell, ['-e', lookAround, secret, String(process.pid)]);
    const seen: unknown = JSON.parse(await readProgram(words, { env, cwd: '/' }));
    assert.deepEqual(seen, {
      ids: ['1900065535', '1900065535', '1900065535', '1900065535'],
      groups: '',
      rights: ['0000000000000000', '0000000000000000', '0000000000000000', '0000000000000000', '0000000000000000'],
      isKept: '1',
      addresses: [],
      read: ['EACCES', 'EACCES'],
    });
    const text = { text: 'FROM debian\n', arguments: new Map(), target: undefined };
    const platform = { os: 'linux', architecture: 'amd64' };
    const signal = AbortSignal.timeout(120_000);
    const { runtime } = await parseApart('dockerfile', { ...text, platform }, { cell, signal });
    assert.equal(runtime, 'debian');
  });
  test('a program that it could not read is told', async () => {
    const closed = join(folder.path, 'closed');
    mkdirSync(closed, { mode: 0o700 });
    writeFileSync(join(closed, 'node'), '', { mode: 0o755 });
    const paths = [process.execPath, join(closed, 'node'), import.meta.filename];
    assert.deepEqual(await unreadableFiles(paths), [join(closed, 'node')]);
    const asked = ['sh', '-c', "id -u; sed -n 's/^CapEff:.//p' /proc/self/status"];
    const is = async (files: readonly string[]) =>
      await readProgram([...withoutRights(65_534, files), ...asked], { env: { PATH: '/usr/bin:/bin' }, cwd: '/' });
    assert.equal(await is([process.execPath]), '65534\n0000000000000000\n');
    assert.equal(await is(paths), '0\n0000000000000000\n');
  });
  test('more memory than its limit ends what takes it', async () => {
    assert.notEqual(await cell.run(['sh', '-c', 'head -c 600M /dev/zero | tail']), 0);
  });
  test('more connections to a door than its limit are not taken', async () => {
    let open = 0;
    const door = await cell.listen(3130, (connection) => {
      open += 1;
      connection.on('error', () => connection.destroy());
    });
    const connect = `for i in $(seq 300); do exec {door}<>/dev/tcp/${cell.address}/3130; done; sleep 1`;
    assert.equal(await cell.run(['bash', '-c', connect]), 0);
    await waitFor('they are taken', 20_000, () => open >= 256);
    assert.equal(open, 256);
    door.close();
  });
  test('a program that is stopped is gone', async () => {
    const stopper = new AbortController();
    const running = cell.run(['sleep', '987'], { signal: stopper.signal });
    await waitFor('it runs', 60_000, async () => (await cell.run(['pgrep', '-x', '-f', 'sleep 987'])) === 0);
    stopper.abort(new Error('enough'));
    await assert.rejects(running, /enough/);
    await waitFor('it is gone', 20_000, async () => (await cell.run(['pgrep', '-x', '-f', 'sleep 987'])) !== 0);
  });
});

test('a closed room leaves nothing: no process, no mount, no folder', async () => {
  const cell = await openRoom();
  await cell.run(['sh', '-c', 'setsid sleep 4321 > /dev/null 2>&1 &']);
  await cell.close();
  assert.deepEqual(readdirSync(root), []);
  assert.doesNotMatch(readFileSync('/proc/self/mounts', 'utf8'), new RegExp(root));
  assert.equal(isRunning('sleep\x004321'), false);
});

test('an agent that is killed leaves no process, and the next one removes its folders', async () => {
  const script = `
    import { openUserCell } from '${join(import.meta.dirname, '../../src/agent/executors/user-cell.ts')}';
    const cell = await openUserCell({ name: 'killed-${process.pid}', root: '${root}', firstUserId: 1900000000, hosts: [],
      limits: { cpus: 1, memoryMiB: 256, diskMiB: 128, processes: 64 } });
    console.log('open');
    await cell.run(['sleep', '5432'], { cpus: 0.5 });`;
  const logFile = join(folder.path, 'agent.log');
  const agent = new Daemon({
    command: process.execPath,
    args: ['--input-type=module-typescript', '-e', script],
    logFile,
  });
  await waitFor('its room is open', 120_000, () => agent.log().includes('open') && isRunning('sleep\x005432'));
  await sweepLeftovers(root, Date.now(), () => assert.fail('nothing is stuck'));
  assert.equal(isRunning('sleep\x005432'), true, 'runs of living agents are left alone');
  await agent.kill();
  await waitFor('its processes are gone', 20_000, () => !isRunning('sleep\x005432'));
  await sweepLeftovers(root, Date.now(), () => assert.fail('nothing is stuck'));
  assert.deepEqual(readdirSync(root), []);
});

/** Where the kernel has what a room may use of processors. */
function groupOf(room: string): string {
  const old = `/sys/fs/cgroup/cpu/berth-agent/${room}`;
  return existsSync(old) ? old : `/sys/fs/cgroup/berth-agent/${room}`;
}

function processorsOf(group: string): number {
  const read = (file: string) => readFileSync(join(group, file), 'utf8').trim();
  const isOld = existsSync(join(group, 'cpu.cfs_quota_us'));
  const text = isOld ? `${read('cpu.cfs_quota_us')} ${read('cpu.cfs_period_us')}` : read('cpu.max');
  const [quota = 0, period = 0] = text.split(' ').map(Number);
  return quota / period;
}

/** What a program sees of itself and of the machine. Arguments: a file, and the process of the agent. */
const lookAround = `
const { readFileSync } = require('node:fs');
const status = readFileSync('/proc/self/status', 'utf8');
const valueOf = (name) => new RegExp('^' + name + ':(.*)$', 'm').exec(status)[1].trim();
const read = (path) => { try { readFileSync(path); return 'read'; } catch (error) { return error.code; } };
const [file, agent] = process.argv.slice(1);
console.log(JSON.stringify({
  ids: valueOf('Uid').split('\\t'),
  groups: valueOf('Groups'),
  rights: ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map(valueOf),
  isKept: valueOf('NoNewPrivs'),
  addresses: Object.values(require('node:os').networkInterfaces()).flat(),
  read: [file, '/proc/' + agent + '/environ'].map(read),
}));
`;

/** Whether a process has this command line, which has zeros between its words. */
function isRunning(commandLine: string): boolean {
  return readdirSync('/proc').some((id) => {
    try {
      return /^\d+$/.test(id) && readFileSync(`/proc/${id}/cmdline`, 'latin1').startsWith(commandLine);
    } catch {
      // It ended while we looked.
      return false;
    }
  });
}

function portOf(server: Server): number {
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return address.port;
}

describe('git in a room', () => {
  const token = 'a-token-that-nobody-sees';
  let cell: Cell;
  let server: GitServer;
  let first: string;
  before(async () => {
    cell = await openRoom();
    const proxy = createOutboundProxy({ isAllowed: createAddressCheck(['127.0.0.0/8']), hosts: new Map() });
    await cell.listen(3129, proxy);
    server = await GitServer.start(join(folder.path, 'git'), token);
    first = await server.commit('app.git', 'main', { Dockerfile: 'FROM scratch\n', 'sub/file': 'one\n' });
    await server.commit('app.git', 'main', { 'sub/file': 'two\n' });
    await server.commit('app.git', 'other', { 'sub/file': 'three\n' });
  });
  after(async () => {
    await cell.close();
    await server[Symbol.asyncDispose]();
  });

  const fetched = async (fragment: string, more: Partial<GitContext> = {}) => {
    const location = parseLocation(`${server.origin}/app.git${fragment}`);
    assert.ok(location.kind === 'git');
    const target = `${cell.folder}/workspace`;
    await cell.read(['sh', '-c', 'rm -rf workspace clone; mkdir workspace']);
    const proxyUrl = `http://${cell.address}:3129`;
    const signal = AbortSignal.timeout(120_000);
    return await fetchGit(cell, { ...location, accessToken: token, target, proxyUrl, signal, ...more });
  };
  const fileIs = async (path: string, text: string) =>
    assert.equal(await cell.read(['cat', `workspace/${path}`]), text);

  test('the branch of the server, when none is named', async () => {
    const { commit } = await fetched('');
    assert.match(commit ?? '', /^[0-9a-f]{40}$/);
    await fileIs('sub/file', 'two\n');
  });
  test('a branch, and a folder', async () => {
    await fetched('#other:sub');
    await fileIs('file', 'three\n');
  });
  test('a commit that no branch ends with', async () => {
    assert.equal((await fetched(`#${first}`)).commit, first);
    await fileIs('sub/file', 'one\n');
  });
  test('such a commit of a server that gives none by its id', async () => {
    await using old = await GitServer.start(join(folder.path, 'git'), token, { isOld: true });
    const location = parseLocation(`${old.origin}/app.git#${first}`);
    assert.ok(location.kind === 'git');
    assert.equal((await fetched('', location)).commit, first);
    await fileIs('sub/file', 'one\n');
    const isPart = await cell.read(['git', '-C', 'workspace', 'rev-parse', '--is-shallow-repository']);
    assert.equal(isPart.trim(), 'false', 'it refused the commit alone');
  });
  test('the token is sent to the repository, and stands in no text', async () => {
    await assert.rejects(fetched('#no-such-branch'), (error: Error) => !error.message.includes(token));
    await assert.rejects(fetched('', { accessToken: 'wrong-token-here' }), (error: Error) => {
      return error instanceof RunFailure && !error.message.includes('wrong-token-here');
    });
  });
  test('the token is the password of whoever the address names', async () => {
    await fetched('', { url: `${server.origin.replace('://', '://organization@')}/app.git` });
    await fileIs('sub/file', 'two\n');
    const [, given = ''] = server.authorizations.at(-1)?.split(' ') ?? [];
    assert.equal(Buffer.from(given, 'base64').toString(), `organization:${token}`);
  });
  test('the token does not follow to where the repository has moved', async () => {
    const asked: (string | undefined)[] = [];
    const other = createServer((request, response) => {
      asked.push(request.headers.authorization);
      response.writeHead(404).end();
    }).listen(0, '127.0.0.1');
    await once(other, 'listening');
    const mover = createServer((request, response) => {
      response.writeHead(302, { location: `http://127.0.0.1:${portOf(other)}${request.url}` }).end();
    }).listen(0, '127.0.0.1');
    await once(mover, 'listening');
    await assert.rejects(fetched('', { url: `http://127.0.0.1:${portOf(mover)}/app.git` }), RunFailure);
    assert.deepEqual(asked, []);
    for (const server of [other, mover]) server.close();
  });
  test('a folder that is not there is refused', async () => assert.rejects(fetched('#main:none'), RunFailure));
  test('an address that is not open is not reached', async () => {
    const closed = createOutboundProxy({ isAllowed: createAddressCheck([]), hosts: new Map() });
    await cell.listen(3130, closed);
    await assert.rejects(fetched('', { proxyUrl: `http://${cell.address}:3130` }), /403/);
  });
});

describe('addresses of contexts', () => {
  for (const text of [
    'ext::sh -c id',
    'file:///etc',
    '--upload-pack=id',
    'git@host:x.git',
    'ssh://host/x.git',
    'git://host/x.git',
    'https://host/x.git#--option',
    'https://host/x.git#a..b',
    'https://host/x.git#main:../..',
    'https://host/x.git#main:-x',
    'https://host/x y.git',
    'javascript:alert(1)',
    '',
  ]) {
    test(`${JSON.stringify(text)} is refused`, () => assert.throws(() => parseLocation(text), RunFailure));
  }
  test('git, archives and artifacts are told apart', () => {
    assert.equal(parseLocation('https://github.com/a/b').kind, 'git');
    assert.equal(parseLocation('https://dev.azure.com/o/p/_git/r').kind, 'git');
    assert.equal(parseLocation('https://host/a.tar.gz').kind, 'archive');
    assert.equal(parseLocation('OCI://r.example/a:b').kind, 'artifact');
  });
});
