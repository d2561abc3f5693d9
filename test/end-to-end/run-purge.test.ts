import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { z } from 'zod';
import { armCaller } from '../support/arm-caller.ts';
import { type BerthServer, startBerth } from '../support/berth-server.ts';
import { HandAgent } from '../support/hand-agent.ts';
import { asAdmin, platformImage, pushSample } from '../support/push-sample.ts';

// `acr purge` and its neighbours in a step: the server does them with the rights of the run. Source: ACR tasks, section 5.

let server: BerthServer;
let agent: HandAgent;
let arm: Awaited<ReturnType<typeof armCaller>>;
before(async () => {
  server = await startBerth({ settings: { builds: 'off' } });
  agent = await HandAgent.join(server);
  arm = await armCaller(server);
});
after(() => server.remove());

const runSchema = z.looseObject({ name: z.string() });
const request = { type: 'EncodedTaskRunRequest', encodedTaskContent: Buffer.from('steps: []').toString('base64') };

/** What a run with these words prints, and how it ends. */
const command = async (words: readonly string[], more: object = {}) => {
  runSchema.parse(await arm.post('scheduleRun', { ...request, ...more }));
  const order = await agent.take();
  const lines: string[] = [];
  let exitCode = -1;
  for await (const line of agent.client.command(order.lease, words, AbortSignal.timeout(120_000)))
    if ('line' in line) lines.push(line.line);
    else exitCode = line.exitCode;
  await agent.finish(order, []);
  return { lines, exitCode };
};
const tagsOf = async (repository: string): Promise<string[]> => {
  const answer = await asAdmin(server, 'GET', `/v2/${repository}/tags/list`);
  return z.object({ tags: z.array(z.string()) }).parse(await answer.json()).tags;
};

test('tags leave as the filter says, with the lines of acr purge', async () => {
  const { loginServer } = server.bootstrap.registry;
  for (const tag of ['v1', 'v2', 'keep']) await pushSample(server, 'team/app', platformImage(tag), tag);
  const words = ['acr', 'purge', '--filter', 'team/app:^v.*', '--ago', '0d'];
  const dry = await command([...words, '--dry-run']);
  assert.deepEqual([dry.exitCode, dry.lines.at(-2)], [0, 'Number of tags to be deleted: 2']);
  assert.match(dry.lines[0] ?? '', /^DRY RUN: /);
  assert.equal((await tagsOf('team/app')).length, 3);
  const { lines, exitCode } = await command(words);
  assert.equal(exitCode, 0);
  assert.equal(lines[0], 'Deleting tags for repository: team/app');
  assert.deepEqual(lines.slice(1, 3).toSorted(), [
    `Deleted ${loginServer}/team/app:v1`,
    `Deleted ${loginServer}/team/app:v2`,
  ]);
  assert.deepEqual(lines.slice(3), ['', 'Number of deleted tags: 2', 'Number of deleted manifests: 0']);
  assert.deepEqual(await tagsOf('team/app'), ['keep']);
});

test('what cannot be done is said, and nothing is deleted', async () => {
  const words = ['acr', 'purge', '--filter', 'team/app:.*', '--ago', '0d'];
  const wrong = await command(['acr', 'purge', '--filter', 'team/app:.*']);
  assert.deepEqual(wrong, { lines: ['Error: --ago is required when not using --untagged-only'], exitCode: 1 });
  const elsewhere = await command([...words, '-r', 'contoso.example']);
  assert.match(elsewhere.lines[0] ?? '', /works on the registry of the run.*'contoso\.example'/);
  assert.equal(elsewhere.exitCode, 1);
  const nobody = await command(words, { credentials: { sourceRegistry: { loginMode: 'None' } } });
  assert.match(nobody.lines.join('\n'), /Failed to complete purge: .*denied/);
  assert.equal(nobody.exitCode, 1);
  assert.deepEqual(await tagsOf('team/app'), ['keep']);
});

const digestsOf = async (repository: string, tags: readonly string[]) => {
  const found: string[] = [];
  for (const tag of tags) {
    const answer = await asAdmin(server, 'HEAD', `/v2/${repository}/manifests/${tag}`);
    found.push(answer.headers.get('docker-content-digest') ?? '');
  }
  return found;
};

test('tags and manifests of a repository are listed and deleted, with the lines of acr', async () => {
  const { loginServer, name } = server.bootstrap.registry;
  const host = `${loginServer}/team/lists`;
  for (const tag of ['a', 'b', 'c']) await pushSample(server, 'team/lists', platformImage(tag), tag);
  const digests = await digestsOf('team/lists', ['a', 'b', 'c']);
  const of = ['--repository', 'team/lists', '-r', name];
  const listed = await command(['acr', 'tag', 'list', ...of]);
  const header = (what: string) => `Listing ${what} for the "team/lists" repository:`;
  assert.deepEqual(listed, { lines: [header('tags'), ...['a', 'b', 'c'].map((tag) => `${host}:${tag}`)], exitCode: 0 });
  assert.deepEqual(await command(['acr', 'tag', 'delete', ...of, 'a', 'b']), {
    lines: [`${host}:a`, `${host}:b`],
    exitCode: 0,
  });
  assert.deepEqual(await tagsOf('team/lists'), ['c']);
  const manifests = await command(['acr', 'manifest', 'list', '--repository=team/lists']);
  const names = digests.toSorted().map((digest) => `${host}@${digest}`);
  assert.deepEqual(manifests, { lines: [header('manifests'), ...names], exitCode: 0 });
  const [first = ''] = digests;
  assert.deepEqual(await command(['acr', 'manifest', 'delete', ...of, first]), {
    lines: [`${host}@${first}`],
    exitCode: 0,
  });
  const again = await command(['acr', 'manifest', 'delete', ...of, first, digests[2] ?? '']);
  assert.match(again.lines.join('\n'), /^Error: failed to delete \S+@sha256:\w+: .*unknown/);
  assert.equal(again.exitCode, 1);
  assert.deepEqual(await tagsOf('team/lists'), ['c'], 'the first that fails ends it');
});

for (const [what, words, message] of [
  ['without a repository', ['acr', 'tag', 'list'], /^Error: required flag\(s\) "repository" not set$/],
  ['with a repository that is none', ['acr', 'tag', 'list', '--repository', '../x'], /failed to list tags: .*name/],
  ['of a repository that is not there', ['acr', 'manifest', 'list', '--repository', 'no/such'], /name/],
  ['without what to delete', ['acr', 'tag', 'delete', '--repository', 'team/lists'], /say which tags/],
  ['with a flag that is not known', ['acr', 'tag', 'list', '-o', 'json'], /^Error: unknown shorthand flag: 'o'$/],
  [
    'in another registry',
    ['acr', 'tag', 'list', '--repository', 'x', '-r', 'other'],
    /^Error: the command works on the registry of the run/,
  ],
  [
    'to sign in elsewhere',
    ['acr', 'login', '-u', 'x', 'host'],
    /^Error: the run is not signed in to host: .*credential add/,
  ],
  ['to sign in nowhere', ['acr', 'login'], /^Error: accepts 1 arg\(s\), received 0$/],
  [
    'to annotate nothing',
    ['acr', 'annotate', '-f', 'a:b'],
    /^Error: required flag\(s\) "annotations", "artifact-type" not set$/,
  ],
  [
    'to annotate without a value',
    ['acr', 'annotate', '-f', 'team/.*:.*', '--artifact-type', 'a/b', '-a', 'name'],
    /^Error: annotation is not a key-value pair: 'name'/,
  ],
  ['that only previews know', ['acr', 'cssc', 'patch'], /'acr cssc' is not done.*acr purge, acr tag list/],
] as const)
  test(`a command of acr is refused ${what}`, async () => {
    const { lines, exitCode } = await command(words);
    assert.match(lines.join('\n'), message);
    assert.equal(exitCode, 1);
  });

test('a run is signed in, so acr login says so', async () => {
  const { loginServer, name } = server.bootstrap.registry;
  const success = { lines: ['Login Succeeded'], exitCode: 0 };
  assert.deepEqual(await command(['acr', 'login', loginServer]), success);
  assert.deepEqual(await command(['acr', 'login', '--password-stdin', name]), success);
  const given = await command(['acr', 'login', '-u', 'me', '-p', 's3cret', loginServer]);
  assert.match(given.lines.join('\n'), /those given here are not used\.\nLogin Succeeded$/);
  assert.doesNotMatch(given.lines.join('\n'), /s3cret/);
  const customRegistries = { 'other.example': { userName: { value: 'bob' }, password: { value: 'hunter22' } } };
  assert.deepEqual(await command(['acr', 'login', 'other.example'], { credentials: { customRegistries } }), success);
  const nobody = await command(['acr', 'login', loginServer], {
    credentials: { sourceRegistry: { loginMode: 'None' } },
  });
  assert.match(nobody.lines.join('\n'), /^Error: the run was given no rights/);
  const out = await command(['acr', 'logout', loginServer]);
  assert.match(out.lines.join('\n'), /stays signed in/);
  assert.equal(out.exitCode, 0);
});

test('acr tells its version, and what its commands take', async () => {
  assert.deepEqual(await command(['acr', 'version']), { lines: ['Version: Berth, Revision: built in'], exitCode: 0 });
  const help = await command(['acr', 'purge', '--help']);
  assert.match(help.lines.join('\n'), /^Usage: acr purge \[flags\]\nFlags: --ago, .*--filter \(-f\), /);
  assert.equal(help.exitCode, 0);
  assert.match((await command(['acr'])).lines.join('\n'), /^Usage: acr purge .*\nUsage: acr tag list .*acr version/s);
});

test('a purge names every repository that its filter takes, and the registry may stand first', async () => {
  const { name } = server.bootstrap.registry;
  const { lines, exitCode } = await command([
    ...['acr', '-r', name, 'purge', '--filter', 'team/(app|lists):^never', '--ago', '0d', '--untagged', '--dry-run'],
    ...['--concurrency', '0'],
  ]);
  assert.equal(exitCode, 0);
  assert.deepEqual(lines.slice(1), [
    'Specified concurrency value invalid. Set to default value: 1',
    'Would delete tags for repository: team/app',
    'Would delete manifests for repository: team/app',
    'Would delete tags for repository: team/lists',
    'Would delete manifests for repository: team/lists',
    '',
    'Number of tags to be deleted: 0',
    'Number of manifests to be deleted: 0',
  ]);
});

const referrersSchema = z.object({
  manifests: z.array(z.looseObject({ artifactType: z.string(), annotations: z.record(z.string(), z.string()) })),
});
const referrersOf = async (repository: string, digest: string) => {
  const answer = await asAdmin(server, 'GET', `/v2/${repository}/referrers/${digest}`);
  return referrersSchema.parse(await answer.json()).manifests;
};

test('annotations are attached to what a filter takes, a life cycle once, and what is locked is left alone', async () => {
  const host = `${server.bootstrap.registry.loginServer}/team/marks`;
  for (const tag of ['a', 'b', 'locked']) await pushSample(server, 'team/marks', platformImage(tag), tag);
  const [a = '', , locked = ''] = await digestsOf('team/marks', ['a', 'b', 'locked']);
  const body = Buffer.from(JSON.stringify({ writeEnabled: false }));
  const headers = { 'content-type': 'application/json' };
  const lock = await asAdmin(server, 'PATCH', '/acr/v1/team/marks/_tags/locked', { body, headers });
  assert.equal(lock.status, 200);
  const type = 'application/vnd.microsoft.artifact.lifecycle';
  const [name, date] = ['vnd.microsoft.artifact.lifecycle.end-of-life.date', '2026-12-31'];
  const words = [
    'acr',
    'annotate',
    '-f',
    'team/marks:^(a|locked)$',
    '--artifact-type',
    type,
    '-a',
    `${name}=${date},x=y`,
  ];
  const counted = (tags: number) => [
    ...['', `Number of tags to be annotated: ${tags}`, 'Number of manifests to be annotated: 0'],
    '1 tags skipped as they are locked',
  ];
  const dry = await command([...words, '--dry-run']);
  assert.deepEqual(dry.lines.slice(1), [
    ...['', 'Tags for this repository would be annotated: team/marks', `${host}:a`],
    ...counted(1),
  ]);
  assert.deepEqual(await referrersOf('team/marks', a), []);
  const { lines, exitCode } = await command(words);
  assert.equal(exitCode, 0, lines.join('\n'));
  assert.deepEqual(lines.slice(0, 3), ['', 'Annotating tags for repository: team/marks', `Annotated ${host}@${a}`]);
  const [mark = assert.fail(), ...more] = await referrersOf('team/marks', a);
  assert.deepEqual(more, []);
  assert.equal(mark.artifactType, type);
  const { 'org.opencontainers.image.created': created, ...given } = mark.annotations;
  assert.deepEqual(given, { [name]: date, x: 'y' });
  assert.match(created ?? '', /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.deepEqual(await referrersOf('team/marks', locked), []);
  assert.deepEqual(
    (await command([...words, '--dry-run'])).lines.slice(-4),
    counted(0),
    'what has a life cycle has it',
  );
  const nobody = await command(words, { credentials: { sourceRegistry: { loginMode: 'None' } } });
  assert.match(nobody.lines.join('\n'), /^Error: failed to annotate: .*denied/);
});

test('a run without rights, or as somebody who may not delete, deletes nothing', async () => {
  const words = ['acr', 'tag', 'delete', '--repository', 'team/lists', 'c'];
  const nobody = await command(words, { credentials: { sourceRegistry: { loginMode: 'None' } } });
  assert.match(nobody.lines.join('\n'), /failed to delete tags: .*denied/);
  assert.deepEqual(await tagsOf('team/lists'), ['c']);
});
