import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { createAgentClient } from '../client/agent-client.ts';
import { createLog } from '../platform/log.ts';
import { createAddressCheck } from '../platform/outbound/address-check.ts';
import { createOutbound } from '../platform/outbound/outbound.ts';
import { systemClock } from '../platform/system-clock.ts';
import type { RunOrder, RunResult } from '../wire/builds/agent-protocol.ts';
import { parseBuildKitAddress } from './executors/buildkit-address.ts';
import type { Cell } from './executors/cell.ts';
import { RunLog } from './run-log.ts';
import { type RunOrderParts, RunStop, runOrder } from './run-order.ts';

/** A room in which every program ends well and prints nothing. */
const room: Cell = {
  folder: '/mnt',
  address: '10.88.0.1',
  run: async () => 0,
  read: async () => '',
  listen: async () => ({ close: () => undefined }),
  cpuSeconds: async () => undefined,
  close: async () => undefined,
};
const fetching: typeof fetch = () => Promise.reject(new Error('the server is not asked'));
const parts = {
  client: createAgentClient({ origin: 'http://127.0.0.1', token: 'x', fetch: fetching, timeoutMs: 1000 }),
  clock: systemClock,
  outbound: createOutbound({ allow: [], hosts: new Map(), clock: systemClock }),
  proxyRules: { isAllowed: createAddressCheck([]), hosts: new Map() },
  agentLog: createLog({ sink: { write: () => undefined, dropped: () => 0 }, format: 'json', level: 'error' }),
  openCell: async () => room,
  guid: () => 'guid',
  isolation: 'oci' as const,
  buildKit: undefined,
};
const variables = {
  ...{ ID: 'ca1', Registry: 'r.example', RegistryName: 'r', Date: '', OS: 'linux', Architecture: 'amd64' },
  ...{ Commit: '', Branch: '', Repository: '', GitTag: '', TriggeredBy: '', TaskName: '' },
};

/** Whether a program looks for the files of a build; what it then finds. */
const isOfBuild = (words: readonly string[]) => words.some((word) => word.includes('realpath'));
const filesOfBuild = '/mnt/workspace\0/mnt/workspace/Dockerfile\0FROM scratch';

function orderOf(content: string, secret: string, hasNetwork: boolean): RunOrder {
  return {
    ...{ lease: 'lease', leaseSeconds: 30, runId: 'ca1', attempt: 1, logOffset: 0, timeoutSeconds: 300 },
    work: { kind: 'encodedTask', content, values: [{ name: 'secret', value: secret, isSecret: true }] },
    source: { kind: 'none' },
    platforms: [{ os: 'linux', architecture: 'amd64' }],
    variables,
    credentials: [],
    registryUrl: 'https://127.0.0.1:443',
    hasNetwork,
    limits: { cpus: 1, memoryMiB: 1, diskMiB: 1, processes: 1, logBytes: 1_000_000 },
    masked: [secret],
  };
}

async function done(
  content: string,
  options: {
    readonly secret?: string;
    readonly signal?: AbortSignal;
    readonly hasNetwork?: boolean;
    readonly more?: Partial<RunOrderParts>;
    readonly credentials?: RunOrder['credentials'];
    readonly order?: Partial<RunOrder>;
  } = {},
): Promise<{ readonly result: RunResult; readonly text: string }> {
  const {
    secret = 'no-secret',
    signal = new AbortController().signal,
    hasNetwork = true,
    more = {},
    credentials = [],
    order = {},
  } = options;
  const lines: Uint8Array[] = [];
  const sink = async (bytes: Uint8Array) => {
    lines.push(bytes);
  };
  const log = new RunLog({ sink, clock: systemClock, maxBytes: 1_000_000, masked: [secret] });
  const result = await runOrder(
    { ...parts, ...more },
    { ...orderOf(content, secret, hasNetwork), credentials, ...order },
    log,
    signal,
  );
  await log.flush();
  return { result, text: Buffer.concat(lines).toString() };
}

/** A run whose step has a secret of a key vault, where the server answers so. */
async function withVault(fetching: typeof fetch): Promise<RunResult> {
  const client = createAgentClient({ origin: 'http://127.0.0.1', token: 'x', fetch: fetching, timeoutMs: 1000 });
  const clock = { ...systemClock, sleep: async () => undefined };
  const task =
    'secrets:\n  - id: key\n    keyvault: https://v.example/secrets/key\nsteps:\n  - cmd: docker {{.Secrets.key}}\n';
  return (await done(task, { more: { client, clock } })).result;
}

/** A registry that gives tokens to `name` with the password `word`. */
async function tokenServer(): Promise<{ readonly url: string; readonly asked: readonly string[] } & AsyncDisposable> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const [, basic = ''] = /^Basic (.*)$/.exec(request.headers.authorization ?? '') ?? [];
    asked.push(Buffer.from(basic, 'base64').toString());
    const isGood = asked.at(-1) === 'name:word' && request.url?.startsWith('/oauth2/token') === true;
    response.writeHead(isGood ? 200 : 401, { 'content-type': 'application/json' });
    response.end(JSON.stringify(isGood ? { access_token: 'token', expires_in: 60 } : {}));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return {
    url: `http://127.0.0.1:${address.port}`,
    asked,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

test('a step that fails again and again without waiting is ended by the time limit of its run', async () => {
  const ender = new AbortController();
  setTimeout(() => ender.abort(new RunStop('Timeout')), 20);
  const task = 'steps:\n  - cmd: docker nosuch\n    repeat: 1000\n';
  assert.equal((await done(task, { signal: ender.signal })).result.status, 'Timeout');
});
test('a program that heeds no end ends with its room, and so does its run', async () => {
  const ender = new AbortController();
  const { promise: closed, reject } = Promise.withResolvers<never>();
  const stuck: Cell = {
    ...room,
    read: async (words) => {
      if (!isOfBuild(words)) return '';
      setTimeout(() => ender.abort(new RunStop('Canceled')), 20);
      return await closed;
    },
    close: async () => reject(new Error('the room is closed')),
  };
  const clock = { ...systemClock, sleep: async () => undefined };
  const { result } = await done('steps:\n  - build: .\n', {
    signal: ender.signal,
    more: { openCell: async () => stuck, clock },
  });
  assert.equal(result.status, 'Canceled');
});
test('a run begins as soon with 200 registries as with one', async () => {
  const programs = async (publicServers: readonly string[]) => {
    let count = 0;
    const cell: Cell = {
      ...room,
      read: async () => {
        count += 1;
        return '';
      },
    };
    const order = { caCertificate: 'certificate', publicServers: [...publicServers] };
    await done('steps:\n  - cmd: docker nosuch\n', { order, more: { openCell: async () => cell } });
    return count;
  };
  const names = Array.from({ length: 199 }, (_, number) => `public${number}.example`);
  assert.equal(await programs(names), await programs([]));
});
const secret = "Sup3r'SecretPart2";
for (const [label, task] of [
  ['an open quote', 'steps:\n  - cmd: "img --password {{.Values.secret}}"\n'],

  ['a step that says it', 'steps:\n  - cmd: docker "{{.Values.secret}}"\n'],
  ['an environment', 'steps:\n  - cmd: x\n    env: ["{{.Values.secret}}"]\n'],
  ['YAML that cannot be read', 'steps:\n  - cmd: {a: [b}: c {{.Values.secret}}\n'],
  ['a template', 'steps:\n  - cmd: x\n{{fail (printf "no %s" .Values.secret)}}\n'],
] as const) {
  test(`what a failure says has no secret: ${label}`, async () => {
    const { result, text } = await done(task, { secret });
    assert.equal(result.status, 'Failed');
    assert.doesNotMatch(`${result.message}${text}`, /Sup3r|SecretPart/);
  });
}
test('the first errors of a step that is repeated are told', async () => {
  const { result } = await done('steps:\n  - cmd: docker nosuch\n    repeat: 100\n');
  assert.equal(result.status, 'Failed');
  assert.equal(result.message?.match(/docker nosuch/g)?.length, 10);
});
const buildKit: RunOrderParts['buildKit'] = {
  address: parseBuildKitAddress('unix:///nowhere', undefined),
  ...{ program: '/nowhere', attestations: { provenance: 'off', sbomGenerator: undefined } },
};
for (const [label, step, reason] of [
  ['a privileged step', 'cmd: docker x\n    privileged: true', /step acb_step_0 asks to be privileged/],
  [
    'processors of its own for a build by BuildKit',
    'build: .\n    cpus: 0.5',
    /step acb_step_0 cannot build with 0.5 processors: it is built by BuildKit, outside of its run/,
  ],
] as const) {
  test(`${label} ends the run before its first step`, async () => {
    const { result, text } = await done(`steps:\n  - ${step}\n`, { more: { buildKit } });
    assert.deepEqual([result.status, reason.test(result.message ?? '')], ['Failed', true]);
    assert.doesNotMatch(text, /Executing step/);
  });
}
test('BuildKit builds for no docker command of a step with processors of its own either', async () => {
  const cell: Cell = { ...room, read: async (words) => (isOfBuild(words) ? filesOfBuild : '') };
  const more = { buildKit, openCell: async () => cell };
  const { result } = await done('steps:\n  - cmd: docker build .\n    cpus: 0.5\n', { more });
  assert.match(result.message ?? '', /the image cannot be built with 0.5 processors: it is built by BuildKit/);
});
test('programs of a step are held to its processors, where they are fewer than those of its run', async () => {
  const held = async (step: string) => {
    const programs: (readonly [string, number | undefined])[] = [];
    const cell: Cell = {
      ...room,
      run: async (words, program) => {
        if (words.includes('run') || words.includes('build')) programs.push([words.join(' '), program?.cpus]);
        return 0;
      },
      read: async (words) => {
        if (words.includes('inspect')) return '{"OCIv1":{}}';
        return isOfBuild(words) ? filesOfBuild : '';
      },
    };
    const { result } = await done(`steps:\n  - ${step}\n`, { more: { openCell: async () => cell } });
    assert.equal(result.status, 'Succeeded', JSON.stringify(result));
    assert.equal(programs.length, 1);
    return programs[0]?.[1];
  };
  for (const step of ['cmd: image word', 'build: .', 'cmd: docker build .'])
    assert.equal(await held(`${step}\n    cpus: 0.5`), 0.5, step);
  for (const as of ['', 'cpus: 1', 'cpus: 4']) assert.equal(await held(`cmd: image word\n    ${as}`), undefined, as);
  assert.equal(await held('cmd: docker run --cpus=0.75 image word\n    cpus: 0.25'), 0.25);
  assert.equal(await held('cmd: docker run --cpus 0.75 image word'), 0.75);
});
test('secrets of key vaults come from the server, and are in no log', async () => {
  const asked: unknown[] = [];
  const answered = async (answer: unknown, step: string) => {
    const fetching: typeof fetch = async (address, init) => {
      asked.push([String(address), JSON.parse(String(init?.body))]);
      return Response.json(answer);
    };
    const client = createAgentClient({ origin: 'http://127.0.0.1', token: 'x', fetch: fetching, timeoutMs: 1000 });
    const task = `secrets:\n  - id: key\n    keyvault: https://{{.Values.secret}}.example/secrets/key\nsteps:\n  - ${step}\n`;
    return await done(task, { secret: 'team', more: { client } });
  };
  const values = [{ id: 'key', value: 'hunter2hunter2' }];
  const shown = await answered({ values, masked: ['hunter2hunter2'] }, 'cmd: docker x{{.Secrets.key}}x');
  assert.match(shown.result.message ?? '', /docker x\*\*\*x is not done/);
  assert.doesNotMatch(shown.text, /hunter2/);
  const secrets = [{ id: 'key', keyvault: 'https://team.example/secrets/key' }];
  assert.deepEqual(asked, [['http://127.0.0.1/agent/v1/leases/lease/secrets', { secrets }]]);
  const refused = await answered({ refusal: 'the vault is shut' }, 'cmd: docker {{.Secrets.key}}');
  assert.deepEqual(
    [refused.result.status, refused.result.message],
    ['Failed', 'failed during run, err: the vault is shut'],
  );
});
for (const [label, fault] of [
  ['restarts', async () => await Promise.reject(new TypeError('fetch failed'))],
  ['cannot answer yet', async () => Response.json({}, { status: 503 })],
] as const)
  test(`a server that ${label} is asked for secrets of key vaults again`, async () => {
    let asked = 0;
    const fetching: typeof fetch = async () => {
      asked += 1;
      return asked === 1 ? await fault() : Response.json({ values: [{ id: 'key', value: 'nosuch' }], masked: [] });
    };
    const { message } = await withVault(fetching);
    assert.match(message ?? '', /docker nosuch is not done/);
    assert.equal(asked, 2);
  });
test('a server that reads no key vaults, or refuses to, is told of as that, and not asked again', async () => {
  let asked = 0;
  const refused = async (status: number) =>
    await withVault(async () => {
      asked += 1;
      return Response.json({ errors: [{ code: 'NO', message: 'too many secrets' }] }, { status });
    });
  const older = await refused(404);
  assert.equal(older.status, 'Failed');
  assert.match(older.message ?? '', /the server of this agent does not know how to read them: it has to be upgraded/);
  const other = await refused(400);
  assert.deepEqual([other.status, asked], ['Failed', 2]);
  assert.match(other.message ?? '', /the server refused to read secrets of key vaults: .*too many secrets/);
});
test('aliases come from an address, within its limits', async () => {
  const server = createServer((request, response) => {
    if (request.url === '/aliases.yaml') response.end('word: from-afar\n');
    else if (request.url !== '/silent') response.writeHead(404).end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  const task = (path: string) =>
    `version: v1.1.0\nalias:\n  src: ["http://127.0.0.1:${address.port}${path}"]\nsteps:\n  - cmd: docker $word\n`;
  const outbound = createOutbound({ allow: ['127.0.0.0/8'], hosts: new Map(), clock: systemClock });
  const message = async (path: string, more: Partial<RunOrderParts> = { outbound }) =>
    (await done(task(path), { more })).result.message ?? '';
  assert.match(await message('/aliases.yaml'), /docker from-afar is not done/);
  assert.match(await message('/none'), /cannot fetch the aliases of \S+\/none: it answered 404/);
  assert.match(await message('/silent'), /cannot fetch the aliases of \S+\/silent/);
  assert.match(await message('/aliases.yaml', {}), /the address is not allowed/);
  const { result } = await done(task('/aliases.yaml'), { hasNetwork: false, more: { outbound } });
  assert.match(result.message ?? '', /cannot fetch the aliases of \S+: builds have no network here/);
  server.closeAllConnections();
  server.close();
  await outbound.close();
});

test('layers are kept where the run may write, and a run without rights builds without that', async () => {
  await using registry = await tokenServer();
  const built = async (credentials: RunOrder['credentials']) => {
    const lines: string[] = [];
    const cell: Cell = {
      ...room,
      run: async (words) => {
        lines.push(words.join(' '));
        return 0;
      },
      read: async (words) => (isOfBuild(words) ? filesOfBuild : ''),
    };
    const task = 'steps:\n  - build: -t app:v1 .\n    cache: enabled\n';
    const more = { openCell: async () => cell };
    const { result } = await done(task, { credentials, order: { registryUrl: registry.url }, more });
    assert.equal(result.status, 'Succeeded', JSON.stringify(result));
    return lines.find((line) => / build /.test(line)) ?? assert.fail('nothing was built');
  };
  const lent = { username: 'name', password: 'word' };
  assert.match(await built([{ server: 'r.example', ...lent }]), /--cache-to r\.example\/app\/berth-cache /);
  assert.doesNotMatch(await built([]), /cache-to/);
  assert.doesNotMatch(await built([{ server: 'other.example', ...lent }]), /cache-to/);
});

test('a run signs in to its own registry by what that answers, and to others with its builder', async () => {
  await using registry = await tokenServer();
  const lines: string[] = [];
  const cell: Cell = {
    ...room,
    read: async (words) => {
      lines.push(words.join(' '));
      return '';
    },
  };
  const order = { registryUrl: registry.url };
  const signedIn = async (server: string, password: string) =>
    await done('steps:\n  - cmd: docker nosuch\n', {
      ...{ order, more: { openCell: async () => cell } },
      credentials: [{ server, username: 'name', password }],
    });
  const good = await signedIn('r.example', 'word');
  assert.match(good.text, /Logging in to registry: r\.example\r?\n\S+ \S+ Successfully logged into r\.example/);
  const bad = await signedIn('r.example', 'wrong');
  assert.match(bad.result.message ?? '', /failed to login to r\.example: it answered 401/);
  assert.deepEqual(registry.asked, ['name:word', 'name:wrong']);
  assert.deepEqual(
    lines.filter((line) => / login /.test(line)),
    [],
  );
  await signedIn('registry.test', 'word');
  assert.equal(lines.filter((line) => / login /.test(line)).length, 1);
  assert.equal(registry.asked.length, 2);
});

for (const [label, verb, step] of [
  ['a build that is to push', 'push', 'build: --push -t app:v1 .'],
  ['a push of an index', 'manifest push', 'push: [app:v1]'],
] as const) {
  test(`${label} tells the digest of what it pushed, and fails without`, async () => {
    const lines: string[] = [];
    const pushed = async (digest: string) => {
      const cell: Cell = {
        ...room,
        run: async (words) => {
          const line = words.join(' ');
          lines.push(line);
          return line.includes('manifest inspect') && verb === 'push' ? 1 : 0;
        },
        read: async (words) => (isOfBuild(words) ? filesOfBuild : words[0] === 'cat' ? `${digest}\n` : ''),
      };
      const clock = { ...systemClock, sleep: async () => undefined };
      return (await done(`steps:\n  - ${step}\n`, { more: { openCell: async () => cell, clock } })).result;
    };
    const digest = `sha256:${'a'.repeat(64)}`;
    const { status, images } = await pushed(digest);
    assert.deepEqual(
      [status, images],
      ['Succeeded', [{ registry: 'r.example', repository: 'app', tag: 'v1', digest }]],
    );
    assert.equal(lines.filter((line) => line.includes(` ${verb} `)).length, 1);
    const { status: other, message } = await pushed('');
    assert.equal(other, 'Failed');
    assert.match(message ?? '', /failed to push image \S+: buildah does not tell the digest/);
  });
}

for (const option of ['--network host', '--net=host']) {
  test(`docker run joins networks of its run alone: ${option}`, async () => {
    const { result } = await done(`steps:\n  - cmd: docker run ${option} img\n`);
    assert.match(
      result.message ?? '',
      /docker run has --network host, and the networks of this run are acb_default_network/,
    );
  });
}
test('docker network makes networks for later steps', async () => {
  const message = async (...lines: readonly string[]) => {
    const { result, text } = await done(`steps:\n${lines.map((line) => `  - cmd: docker ${line}\n`).join('')}`);
    return `${text}${result.message}`;
  };
  const create = 'network create -d bridge own';
  assert.match(await message(create, 'run --net own img'), /cannot run the image img/);
  assert.match(
    await message(create, 'network ls', 'network inspect own', 'nosuch'),
    /own {2}bridge[\s\S]*"Name": "own"/,
  );
  assert.match(await message(create, create), /the run has a network own already/);
  assert.match(await message(create, 'network rm own', 'run --network own img'), /has --network own, and the networks/);
  assert.match(await message('network rm acb_default_network'), /no step of the run has made a network acb_default/);
  assert.match(await message('network inspect other'), /the run has no network other/);
  assert.match(await message('network create --internal own'), /the option --internal, which is not known here/);
  assert.match(await message('network create --driver overlay own'), /the option --driver, which is not known here/);
  assert.match(await message('network create own other'), /needs one name/);
  assert.match(await message('network nosuch'), /docker network nosuch is not done in steps; these are: create, rm,/);
  assert.match(
    await message(create, 'network prune -f', 'network inspect own'),
    /Deleted Networks:\r?\nown\r?\n[\s\S]*no network own/,
  );
  assert.match(await message('network prune own'), /takes no names/);
  assert.match(await message(create, 'network connect own db'), /the run has no container db/);
  assert.match(await message('network connect nosuch db'), /the run has no network nosuch/);
  assert.match(await message('network disconnect own'), /needs a network and a container/);
  assert.match(
    await message(create, 'network connect --ip 10.0.0.1 own db'),
    /the option --ip, which is not known here/,
  );
  assert.match(await message('run --network-alias "a b" img'), /a --network-alias that no container can have/);
});
test('networks of docker hold running containers, and let go of them', async () => {
  const { promise: end, resolve } = Promise.withResolvers<number>();
  const cell: Cell = {
    ...room,
    run: async (words) => (words.includes('run') ? await end : 0),
    read: async (words) => (words.includes('inspect') ? '{"OCIv1":{"config":{"Cmd":["serve"]}}}' : ''),
  };
  const task = (...lines: readonly string[]) =>
    done(`steps:\n${lines.map((line) => `  - cmd: docker ${line}\n`).join('')}`, {
      more: { openCell: async () => cell },
    });
  const start = ['network create own', 'run -d --name db --network own img'];
  const { result: used } = await task(...start, 'network prune', 'network rm own');
  assert.match(used.message ?? '', /containers are on the network own: db; stop them before/);
  const { result: twice } = await task(...start, 'network connect own db');
  assert.match(twice.message ?? '', /the container db is on the network own already/);
  const { result: none } = await task(...start, 'network create other', 'network disconnect other db');
  assert.match(none.message ?? '', /the container db is not on the network other/);
  const moved = ['network create other', 'network connect --alias store other db', 'network disconnect own db'];
  const { result, text } = await task(...start, ...moved, 'network prune', 'network ls');
  assert.equal(result.status, 'Succeeded', JSON.stringify(result));
  assert.match(text, /Deleted Networks:\r?\nown\r?\n/);
  assert.match(text, /other {2}bridge/);
  resolve(0);
});

test('what a build stands on is looked up in its step, and before the next one', async () => {
  const did: string[] = [];
  const built = async (step: string, lookUp: () => string) => {
    did.length = 0;
    const cell: Cell = {
      ...room,
      run: async (words) => {
        did.push(words.join(' '));
        return 0;
      },
      read: async (words) => {
        if (isOfBuild(words)) return filesOfBuild.replace('scratch', 'debian:12');
        if (!words.includes('images')) return '';
        did.push('look');
        return lookUp();
      },
    };
    const clock = { ...systemClock, sleep: async () => undefined };
    return (await done(`steps:\n  - build: .\n${step}`, { more: { openCell: async () => cell, clock } })).result;
  };
  const broken = (times: number) => () => {
    times -= 1;
    if (times >= 0) throw new Error('the store is broken');
    return '[]';
  };
  const whole = await built('  - push: [app:v1]\n', broken(0));
  assert.equal(whole.dependencies.length, 1);
  assert.equal(did.indexOf('look') < did.findIndex((line) => / push /.test(line)), true, `${did}`);
  const retried = await built('    retries: 1\n', broken(1));
  assert.deepEqual([retried.status, retried.dependencies.length], ['Succeeded', 1]);
  const ignored = await built('    ignoreErrors: true\n', broken(1));
  assert.deepEqual([ignored.status, ignored.dependencies.length], ['Succeeded', 0]);
});
