import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseDockerBuild } from './docker-build-options.ts';
import { stepGraphOf } from './step-graph.ts';
import { TaskError } from './task-error.ts';
import { parseTaskFile, vaultSecretsIn, vaultSecretsOfTask } from './task-file.ts';
import { prepareTaskText, type TaskTextInput } from './task-text.ts';
import { splitWords } from './words.ts';

const inputOf = (text: string, more: Partial<TaskTextInput> = {}): TaskTextInput => ({
  text,
  valuesText: undefined,
  values: [],
  run: { ID: 'ca1', Registry: 'r.example' },
  secrets: {},
  now: new Date(0),
  aliasSources: new Map(),
  ...more,
});
const prepare = (text: string, more: Partial<TaskTextInput> = {}) => prepareTaskText(inputOf(text, more));
const parse = (text: string, more: Partial<TaskTextInput> = {}) => parseTaskFile(prepare(text, more).yaml);
const steps = (list: string) => `version: v1.1.0\nsteps:\n${list}`;

describe('the text of a task', () => {
  test('an encoded task has two versions: the first decides on aliases, the last is the value', () => {
    const task = parse('version: v1.1.0\nversion: v1.0.0\nsteps:\n  - cmd: $Registry/x');
    assert.equal(task.version, 'v1.0.0');
    assert.deepEqual(task.steps[0]?.work, { kind: 'cmd', text: 'r.example/x' });
  });
  test('without a version there are no aliases', () => {
    assert.deepEqual(parse('steps:\n  - cmd: $ID').steps[0]?.work, { kind: 'cmd', text: '$ID' });
  });
  test('aliases of the task beat those that are there', () => {
    const text =
      'version: v1.1.0\nalias:\n  values:\n    ID: mine\n    tool: img run\nsteps:\n  - cmd: $tool $ID $HOME';
    assert.deepEqual(parse(text).steps[0]?.work, { kind: 'cmd', text: 'img run mine $HOME' });
  });
  test('another directive', () => {
    const text = 'version: v1.1.0\nalias:\n  directive: "%"\nsteps:\n  - cmd: x %ID $ID';
    assert.deepEqual(parse(text).steps[0]?.work, { kind: 'cmd', text: 'x ca1 $ID' });
  });
  test('files of aliases, later ones first', () => {
    const text = 'version: v1.1.0\nalias:\n  src: [a.yaml, b.yaml]\nsteps:\n  - cmd: $x $y';
    const aliasSources = new Map([
      ['a.yaml', 'x: 1\ny: 1'],
      ['b.yaml', 'x: 2'],
    ]);
    assert.deepEqual(parse(text, { aliasSources }).steps[0]?.work, { kind: 'cmd', text: '2 1' });
  });
  test('comments go, also in block texts', () => {
    assert.deepEqual(parse('# {{bad\nsteps:\n  - cmd: |\n      a\n      # b\n').steps[0]?.work, {
      kind: 'cmd',
      text: 'a\n',
    });
  });
  test('values by name beat the file', () => {
    const values = [{ name: 'a', value: 'set', isSecret: false }];
    const text = 'steps:\n  - cmd: "{{.Values.a}} {{.Values.b.c}}"';
    assert.deepEqual(parse(text, { values, valuesText: 'a: file\nb:\n  c: deep' }).steps[0]?.work, {
      kind: 'cmd',
      text: 'set deep',
    });
  });
  test('all values and the run as one word each', () => {
    const values = [{ name: 'a', value: "it's", isSecret: false }];
    const { yaml } = prepare('steps:\n  - cmd: |\n      x {{.ValuesJSON}} {{.RunJSON}}', { values });
    const [work] = parseTaskFile(yaml).steps.map((step) => step.work);
    assert.ok(work?.kind === 'cmd');
    const [, given = '', run = ''] = splitWords(work.text);
    assert.deepEqual([JSON.parse(given), JSON.parse(run).ID], [{ a: "it's" }, 'ca1']);
  });
  test('an empty task is refused', () =>
    assert.throws(() => prepare('{{.Values.none}}'), /rendered template was empty/));
});

describe('a task file', () => {
  test('steps get their defaults', () => {
    const [step] = parse(steps('  - cmd: x\n')).steps;
    assert.equal(step?.id, 'acb_step_0');
    assert.equal(step?.timeout, 600);
    assert.equal(step?.network, 'acb_default_network');
    assert.equal(step?.workingDirectory, '/workspace');
    assert.equal(step?.retryDelay, 5);
  });
  test('inherited environment is split at commas, and a step beats it', () => {
    const [step] = parse(`version: v1.0.0\nenv: ["A=1,B=2"]\nsteps:\n  - cmd: x\n    env: ["B=3,4"]`).steps;
    assert.deepEqual(step?.env, ['A=1', 'B=3,4']);
  });
  test('the last default network counts, and none where there is no default', () => {
    const networks = (more: string) => `networks:\n  - name: a\n  - name: b\n${more}steps:\n  - cmd: x`;
    assert.equal(parse(networks('')).steps[0]?.network, undefined);
    assert.equal(parse(networks('    isDefault: true\n')).steps[0]?.network, 'b');
  });
  test('all steps on one of several networks, with ports', () => {
    const [step] = parse(
      'networks: [{name: a}, {name: b, isDefault: true}]\nsteps: [{cmd: x, ports: ["8080:80", "127.0.0.1:53:53/udp"], cpus: 0.5}]',
    ).steps;
    assert.deepEqual([step?.network, step?.cpus, step?.ports.length], ['b', 0.5, 2]);
  });
  test('steps that are kept apart, each on its network', () => {
    const { steps, networks } = parse(
      'networks: [{name: a}, {name: b}]\nsteps: [{cmd: x, network: a}, {cmd: y, network: b}]',
    );
    assert.deepEqual(
      [steps.map(({ network }) => network), networks],
      [
        ['a', 'b'],
        ['a', 'b'],
      ],
    );
  });
  test('a secret volume is bytes', () => {
    const task = parse(`volumes:\n  - name: v\n    secret:\n      f: ${btoa('a b')}\nsteps:\n  - cmd: x\n`);
    assert.equal(new TextDecoder().decode(task.volumes[0]?.files.get('f')), 'a b');
  });
  test('a wait is no longer than a run', () => {
    const [step] = parse(
      steps('  - cmd: x\n    timeout: 9000000\n    startDelay: 9000000\n    retryDelay: 9000000'),
    ).steps;
    assert.deepEqual([step?.timeout, step?.startDelay, step?.retryDelay], [28_800, 28_800, 28_800]);
  });
  test('unknown keys are left out', () =>
    assert.equal(parse('hello: 1\nsteps:\n  - cmd: x\n    hello: 2').steps.length, 1));

  const bad: readonly [string, string][] = [
    ['both build and cmd', steps('  - cmd: x\n    build: y')],
    ['no kind', steps('  - id: x')],
    ['a version of its own', 'version: v9\nsteps:\n  - cmd: x'],
    ['the reserved id', steps('  - cmd: x\n    id: acb_root')],
    ['an id with a space', steps('  - cmd: x\n    id: "a b"')],
    ['an id that is an option', steps('  - cmd: x\n    id: "--rm"')],
    ['environment without a value', steps('  - cmd: x\n    env: [A]')],
    ['dash and an id', steps('  - cmd: x\n    when: ["-", a]')],
    ['an unknown volume', steps('  - cmd: x\n    volumeMounts: [{name: v, mountPath: /a}]')],
    ['a secret that is not base64', 'volumes:\n  - name: v\n    secret: {f: "***"}\nsteps: []'],
    ['a file name that leaves', 'volumes:\n  - name: v\n    secret: {"..": "YQ=="}\nsteps: []'],
    ['a folder that leaves', steps('  - cmd: x\n    workingDirectory: ../..')],
    ['a step without end', steps('  - cmd: x\n    repeat: 2000000000')],
    ['tries without end', steps('  - cmd: x\n    retries: 1001')],
    ['a secret of no vault', 'secrets: [{id: a}]\nsteps: [{cmd: x}]'],
    ['a network that nobody makes', steps('  - cmd: x\n    network: nowhere')],
    ["the machine's own network", 'networks: [{name: host, skipCreation: true}]\nsteps: [{cmd: x, network: host}]'],
    ['a network twice', 'networks: [{name: a}, {name: a}]\nsteps: [{cmd: x, network: a}]'],
    ['another driver', 'networks: [{name: a, driver: overlay}]\nsteps: [{cmd: x, network: a}]'],
    ['IPv6', 'networks: [{name: a, ipv6: true}]\nsteps: [{cmd: x, network: a}]'],
    ['an isolation of Windows', steps('  - cmd: x\n    isolation: hyperv')],
    ['a port that is none', steps('  - cmd: x\n    ports: ["-v", "/:/host"]')],
    ['processors that are no number', steps('  - cmd: x\n    cpus: many')],
    ['a list', '- a'],
    ['broken YAML', 'steps: [a'],
    [
      'a bomb of YAML aliases',
      `a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefgh'].map((key, at) => `${key}: &${key} [${Array(9).fill(`*${'abcdefg'[at]}`).join(',')}]`).join('\n')}\nsteps: []`,
    ],
    ['environment without end', `env: ["${'A=,'.repeat(1_000)}B="]\n${steps('  - cmd: x')}`],
    ['volumes without end', `volumes:\n${'  - {name: a, secret: {b: YQ==}}\n'.repeat(1_000)}${steps('  - cmd: x')}`],
    ['networks without end', `networks:\n${'  - name: a\n'.repeat(1_000)}${steps('  - cmd: x')}`],
    ['YAML nested too deep', `steps: ${'['.repeat(5000)}`],
  ];
  for (const [label, text] of bad) {
    test(`${label} is refused`, () => assert.throws(() => parse(text), TaskError));
  }
});

describe('secrets of key vaults', () => {
  const guid = '0A0a0a0a-0000-4000-8000-00000000000f';
  test('are read where the rest of the task wants their values first', () => {
    const vault = 'https://Team.vault.example:8443/secrets';
    const list = `[{id: npm, keyvault: "${vault}/npm"}, {id: 7, keyvault: ${vault}/pip-1/0af, clientID: ${guid}}]`;
    assert.deepEqual(vaultSecretsIn(`secrets: ${list}\nsteps:\n  - cmd:\n`), [
      { id: 'npm', keyvault: `${vault}/npm` },
      { id: '7', keyvault: `${vault}/pip-1/0af`, clientId: guid },
    ]);
    assert.deepEqual(vaultSecretsIn('steps: []'), []);
    assert.deepEqual(parse(`secrets: ${list}\n${steps('  - cmd: x')}`).steps.length, 1);
  });
  const keyOf = (address: string) => `secrets:\n  - id: key\n    keyvault: ${address}\n`;
  for (const [template, key, shown] of [
    ['{{ (fromJson .Secrets.key).user }}', '{"user":"u"}', 'u'],
    ['{{ required "k" .Secrets.key }}', 'abc', 'abc'],
    ['{{ if .Secrets.key }}y{{ else }}{{ fail "no key" }}{{ end }}', 'abc', 'y'],
    ['{{ index (splitList ":" .Secrets.key) 1 }}', 'a:b', 'b'],
    ['{{ div 10 (int .Secrets.key) }}', '5', '2'],
  ] as const)
    test(`are known before what cannot do without their values is filled: ${template}`, () => {
      const text = `version: v1.1.0\nalias:\n  values: { vault: v.example }\n${keyOf('https://$vault/secrets/{{.Run.ID}}')}steps:\n  - cmd: x ${template}\n`;
      assert.deepEqual(vaultSecretsOfTask(inputOf(text)), [{ id: 'key', keyvault: 'https://v.example/secrets/ca1' }]);
      assert.deepEqual(parse(text, { secrets: { key } }).steps[0]?.work, { kind: 'cmd', text: `x ${shown}` });
    });
  test('are asked for under the conditions that stand around them', () => {
    const text = `{{ $host := "v.example" }}{{ if .Values.signs }}\n${keyOf('https://{{$host}}/secrets/a')}{{ end }}\nsteps:\n  - cmd: x {{.Secrets.key}}\n`;
    assert.deepEqual(vaultSecretsOfTask(inputOf(text)), []);
    const values = [{ name: 'signs', value: 'yes', isSecret: false }];
    assert.deepEqual(vaultSecretsOfTask(inputOf(text, { values })), [
      { id: 'key', keyvault: 'https://v.example/secrets/a' },
    ]);
  });
  test('are not what a task fails for that names none', () => {
    assert.throws(() => vaultSecretsOfTask(inputOf('# secrets\nsteps:\n  - cmd: {{ fail "no" }}\n')), /no/);
    assert.throws(() => vaultSecretsOfTask(inputOf(`secrets: []\nsteps:\n  - cmd: {{ fail "no" }}\n`)), /no/);
  });
  for (const [label, secrets, reason] of [
    ['without a vault', '[{id: npm}]', /npm has no keyvault: .*--set-secret npm=….*\{\{\.Values\.npm\}\}$/],
    ['without an id', '[{keyvault: "https://v.example/secrets/a"}]', /secret 1 of the task has no id/],
    [
      'with a space',
      '[{id: a b, keyvault: "https://v.example/secrets/a"}]',
      /secret 1 of the task has no id, or one with/,
    ],
    [
      'twice',
      '[{id: a, keyvault: "https://v.example/secrets/a"}, {id: a, keyvault: "https://v.example/secrets/b"}]',
      /a is there twice/,
    ],
    ['by plain HTTP', '[{id: a, keyvault: "http://v.example/secrets/a"}]', /its keyvault is not https/],
    ['that is a key', '[{id: a, keyvault: "https://v.example/keys/a"}]', /its keyvault is not https/],
    ['of a port that is none', '[{id: a, keyvault: "https://v.example:99999/secrets/a"}]', /its keyvault is not https/],
    ['of an address that is none', '[{id: a, keyvault: "https://1.2.3.4.5/secrets/a"}]', /its keyvault is not https/],
    ['with a password', '[{id: a, keyvault: "https://u:p@v.example/secrets/a"}]', /its keyvault is not https/],
    ['with a query', '[{id: a, keyvault: "https://v.example/secrets/a?x=y"}]', /its keyvault is not https/],
    ['above its vault', '[{id: a, keyvault: "https://v.example/secrets/../keys"}]', /its keyvault is not https/],
    [
      'of an identity by name',
      '[{id: a, keyvault: "https://v.example/secrets/a", clientID: me}]',
      /its clientID is not/,
    ],
    ['whose id is a map', '[{id: {toString: a}, keyvault: "https://v.example/secrets/a"}]', /not a list of at most 50/],
    ['that are no list', '{a: b}', /not a list of at most 50/],
    ['without number', `[${'{},'.repeat(50)}{}]`, /not a list of at most 50/],
  ] as const)
    test(`one ${label} is refused`, () => assert.throws(() => vaultSecretsIn(`secrets: ${secrets}`), reason));
});

describe('the order of steps', () => {
  const graph = (...list: [string, string[]?][]) =>
    Object.fromEntries(stepGraphOf(list.map(([id, when]) => ({ id, when }))));
  test('after the one before, at once, or after named ones', () => {
    const found = graph(['a'], ['b'], ['c', []], ['d', ['a', 'c']], ['e']);
    assert.deepEqual(found, { a: [], b: ['a'], c: [], d: ['a', 'c'], e: ['d'] });
  });
  test('a later step is unknown', () =>
    assert.throws(() => graph(['a', ['b']], ['b']), /b does not exist as a vertex/));
  test('a step of its own', () => assert.throws(() => graph(['a', ['a']]), /self-referenced/));
  test('an id twice', () => assert.throws(() => graph(['a'], ['a']), /already exists/));
});

describe('options of docker build', () => {
  test('both forms', () => {
    const options = parseDockerBuild([
      '-t',
      'a',
      '--tag=b',
      '--build-arg',
      'X=a=b',
      '--no-cache',
      '-f',
      'D',
      '--platform',
      'linux/amd64,linux/arm64',
      '.',
    ]);
    assert.deepEqual(options.tags, ['a', 'b']);
    assert.equal(options.arguments.get('X'), 'a=b');
    assert.equal(options.hasCache, false);
    assert.equal(options.file, 'D');
    assert.deepEqual(options.platforms, ['linux/amd64', 'linux/arm64']);
    assert.equal(options.context, '.');
  });
  for (const [label, words] of [
    ['no context', ['-t', 'x']],
    ['two contexts', ['.', '.']],
    ['an unknown option', ['--privileged', '.']],
    ['a volume', ['-v', '/:/host', '.']],
    ['a network that builds do not have', ['--network', 'none', '.']],
    ['an option without its value', ['.', '-t']],
  ] as const) {
    test(`${label} is refused`, () => assert.throws(() => parseDockerBuild(words), TaskError));
  }
});
