/** One part of the tests that can be run alone: `script/test NAME`. */
export type TestGroup = {
  readonly name: string;
  readonly meaning: string;
  /** Longest time it may take, in minutes, on 2 cores with the cache filled; it is stopped and fails after that. */
  readonly minutes: number;
  readonly work: TestFiles | Program;
  /** Groups of one lane run one after the other, beside the lanes of others and beside the faults and what comes after them. */
  readonly lane?: 'azure' | 'builds';
};

export type TestFiles = {
  readonly kind: 'files';
  readonly patterns: readonly string[];
  /** Test files run at once; those that start daemons or measure time run alone. */
  readonly atOnce: number;
  /** What they mount is seen by nobody else: a builder of another group would hold on to a disk that they take away. */
  readonly hasOwnMounts?: boolean;
  readonly env?: Readonly<Record<string, string>>;
};

/** Counts as one test, which passes when the exit code is 0. */
export type Program = { readonly kind: 'program'; readonly command: readonly string[] };

/** Clients that each have a file in test/end-to-end. */
const clients = [
  'docker',
  'podman',
  'skopeo',
  'buildah',
  'ctr',
  'crane',
  'oras',
  'helm',
  'regctl',
  'cosign',
  'notation',
  'acr-cli',
];

/** Those run again on PostgreSQL: what they do together touches every table. */
const clientsOnPostgres = ['crane', 'skopeo', 'oras', 'azure-sdk', 'azure-registry-client', 'az-errors'];

/** All groups in the order in which they run: what fails soonest first. */
export const testGroups: readonly TestGroup[] = [
  program('format', 'format and lint', 2, ['biome', 'ci', '--colors=off', '--error-on-warnings', '.']),
  program('types', 'TypeScript', 2, ['tsc']),
  program('documents', 'generated documents are up to date', 1, ['node', 'script/generate-reference.ts', '--check']),
  files(
    'unit',
    'everything beside the code, on SQLite and PostgreSQL',
    15,
    ['src/**/*.test.ts', 'bench/**/*.test.ts', 'script/*.test.ts', 'test/support/*.test.ts'],
    2,
  ),
  files('conformance', 'the official OCI conformance program', 3, ['test/conformance/*.test.ts'], 1),
  withOwnMounts(
    files('faults', 'kills, full disks, damage, slow clients, many servers', 40, ['test/faults/!(backup*).test.ts'], 1),
  ),
  builds('deploy', 'the image, the Helm chart, the units, metrics with their dashboard and rules', 7, [
    'test/deploy/*.test.ts',
  ]),
  besideAzure(
    files(
      'copies',
      'backups and moves that are killed on the way, or whose source is in use',
      9,
      ['test/faults/backup*.test.ts'],
      1,
    ),
  ),
  besideAzure(
    files(
      'postgres-clients',
      `${clientsOnPostgres.join(', ')} against a server on PostgreSQL`,
      6,
      clientsOnPostgres.map((name) => `test/end-to-end/${name}.test.ts`),
      1,
      { BERTH_TEST_DATABASE: 'postgres' },
    ),
  ),
  azure('az', "Debian's Azure CLI 2.45: groups, registries, sign-in, templates, wrong requests", 8, [
    'az-control-plane',
    'az-deployments',
    'az-errors',
    'az-killed',
    'az-management',
    'az-outside-sign-in',
    'az-recorded',
    'az-sign-in',
  ]),
  azure(
    'az-both',
    'the Azure CLI: content, tokens, identities, metrics in turn by one of two releases, with --long by both; webhooks, logs, health by both; roles by the newer',
    25,
    [
      'az-check-health',
      'az-content',
      'az-eventgrid',
      'az-identity',
      'az-manifests',
      'az-monitor',
      'az-newest',
      'az-role',
      'az-show-manifests',
      'az-soft-delete',
      'az-token',
      'az-webhook',
      'diagnostic-settings',
      'federation',
    ],
  ),
  builds('agent', 'real builds: steps, git, limits, hostile code, kills', 13, [
    'test/agent/!(*buildkit|az-task-files|az-pack|az-node-app|git-lfs|hostile-builds|triggers|rebuilds|pools).test.ts',
  ]),
  builds(
    'triggers',
    'real builds that commits, pull requests and base images start, in order and side by side; named pools',
    10,
    ['triggers', 'rebuilds', 'pools'].map((name) => `test/agent/${name}.test.ts`),
  ),
  builds(
    'task-files',
    'contexts of artifacts and of Git LFS, words of task files, buildpacks, a Node application',
    18,
    ['test/agent/{az-task-files,az-pack,az-node-app,git-lfs}.test.ts'],
  ),
  builds('buildkit', 'builds by a real BuildKit', 9, ['test/agent/*buildkit.test.ts']),
  builds('hostile-builds', 'builds that take disk, memory, processes and log without end, or look for secrets', 5, [
    'test/agent/hostile-builds.test.ts',
  ]),
  builds('built-in-agent', 'a real build by the agent of the server', 3, ['test/end-to-end/built-in-agent.test.ts']),
  besideBuilds(files('sign-in', 'what people read when they may not', 3, ['test/end-to-end/sign-in.test.ts'], 1)),
  ...clients.map((name) =>
    besideBuilds(files(name, `${name} against a running server`, 3, [`test/end-to-end/${name}.test.ts`], 1)),
  ),
  besideBuilds(
    files('az-acr-login', 'docker and podman signed in by az', 5, ['test/end-to-end/az-acr-login.test.ts'], 1),
  ),
  azure('rebuilds', 'tasks by images of another installation, and by git repositories that are looked at', 4, [
    'rebuilds',
  ]),
  azure(
    'az-task',
    'tasks, timers, agent pools and task runs with the newer Azure CLI, with --long in two releases',
    20,
    ['az-task'],
  ),
  azure('az-build', 'builds and runs with the Azure CLI in two releases; uploads and logs', 15, [
    'az-build',
    'build-files',
    'run-purge',
    'task-aliases',
  ]),
  azure('azure-sdk', "Azure's client libraries: management in two versions, content, sign-in", 4, [
    'azure-sdk',
    'azure-registry-client',
    'azure-registry-sign-in',
  ]),
  besideAzure(
    files(
      'events',
      'subscriptions, the live stream of events, the audit, time travel',
      4,
      ['test/end-to-end/event*.test.ts', 'test/end-to-end/as-of.test.ts', 'test/end-to-end/tag-moves.test.ts'],
      1,
    ),
  ),
  besideAzure(
    files(
      'retention',
      'berth purge, gc, scrub and lifecycle',
      3,
      ['lifecycle', 'retention-commands'].map((name) => `test/end-to-end/${name}.test.ts`),
      1,
    ),
  ),
  files('throttling', 'skopeo waits out a refusal, two workers', 3, ['test/end-to-end/throttling.test.ts'], 1),
  program('bench', 'the benchmark runs and its answers are right', 3, [
    ...['script/bench', '--quick', '--check', '--peers', 'none', '--requests', '20'],
    ...['--sequence', '^(Push|Pull).* 1MB$'],
  ]),
];

function files(
  name: string,
  meaning: string,
  minutes: number,
  patterns: readonly string[],
  atOnce: number,
  env: Readonly<Record<string, string>> = {},
): TestGroup {
  return { name, meaning, minutes, work: { kind: 'files', patterns, atOnce, env } };
}

function program(name: string, meaning: string, minutes: number, command: readonly string[]): TestGroup {
  return { name, meaning, minutes, work: { kind: 'program', command } };
}

/** Real builds, each with rooms, networks and folders of its own. */
function builds(name: string, meaning: string, minutes: number, patterns: readonly string[]): TestGroup {
  return { ...files(name, meaning, minutes, patterns, 1), lane: 'builds' };
}

function withOwnMounts({ work, ...group }: TestGroup): TestGroup {
  return { ...group, work: work.kind === 'files' ? { ...work, hasOwnMounts: true } : work };
}

/** In the lane of Azure's clients, which has room. */
function besideAzure(group: TestGroup): TestGroup {
  return { ...group, lane: 'azure' };
}

/** In the lane of builds, after them: on a bare machine these clients are built meanwhile. */
function besideBuilds(group: TestGroup): TestGroup {
  return { ...group, lane: 'builds' };
}

/** Two files at once: an `az` command keeps one core busy for a second, and each file has servers and folders of its own. */
function azure(name: string, meaning: string, minutes: number, names: readonly string[]): TestGroup {
  const paths = names.map((each) => `test/end-to-end/${each}.test.ts`);
  return { ...files(name, meaning, minutes, paths, 2), lane: 'azure' };
}
