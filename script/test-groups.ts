/** One part of the tests that can be run alone: `script/test NAME`. */
export type TestGroup = {
  readonly name: string;
  readonly meaning: string;
  /** Longest time it may take, in minutes, on 2 cores with the cache filled; it is stopped and fails after that. */
  readonly minutes: number;
  readonly work: TestFiles | Program;
};

export type TestFiles = {
  readonly kind: 'files';
  readonly patterns: readonly string[];
  /** Test files run at once; those that start daemons or measure time run alone. */
  readonly atOnce: number;
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
];

/** Those run again on PostgreSQL: what they do together touches every table. */
const clientsOnPostgres = ['crane', 'skopeo', 'oras', 'azure-sdk', 'azure-registry-client', 'az-errors'];

/** All groups in the order in which they run: what fails soonest first. */
export const testGroups: readonly TestGroup[] = [
  program('format', 'format and lint', 2, ['biome', 'ci', '--colors=off', '--error-on-warnings', '.']),
  program('types', 'TypeScript', 2, ['tsc']),
  program('documents', 'generated documents are up to date', 1, ['node', 'script/generate-reference.ts', '--check']),
  files('unit', 'everything beside the code, on SQLite and PostgreSQL', 6, ['src/**/*.test.ts'], 2),
  files('conformance', 'the official OCI conformance program', 3, ['test/conformance/*.test.ts'], 1),
  files('faults', 'kills, full disks, damage, slow clients, many servers', 16, ['test/faults/*.test.ts'], 1),
  files('deploy', 'the image, the Helm chart, the units', 6, ['test/deploy/*.test.ts'], 1),
  files('sign-in', 'what people read when they may not', 3, ['test/end-to-end/sign-in.test.ts'], 1),
  ...clients.map((name) => files(name, `${name} against a running server`, 3, [`test/end-to-end/${name}.test.ts`], 1)),
  files(
    'postgres-clients',
    `${clientsOnPostgres.join(', ')} against a server on PostgreSQL`,
    4,
    clientsOnPostgres.map((name) => `test/end-to-end/${name}.test.ts`),
    1,
    { BERTH_TEST_DATABASE: 'postgres' },
  ),
  files('az', "Debian's Azure CLI 2.45: groups, registries", 3, ['test/end-to-end/az-control-plane.test.ts'], 1),
  files('az-sign-in', "Debian's Azure CLI 2.45: sign-in, directory", 3, ['test/end-to-end/az-sign-in.test.ts'], 1),
  files('az-identity', 'managed identities, with az in two releases', 6, ['test/end-to-end/az-identity.test.ts'], 1),
  files(
    'federation',
    'tokens of outside issuers, with az in two releases',
    4,
    ['test/end-to-end/federation.test.ts'],
    1,
  ),
  files('az-deployments', "Debian's Azure CLI 2.45: ARM templates", 5, ['test/end-to-end/az-deployments.test.ts'], 1),
  files(
    'az-management',
    'the Azure CLI against a control plane with a listener of its own',
    2,
    ['test/end-to-end/az-management.test.ts'],
    1,
  ),
  files(
    'az-outside-sign-in',
    'az login through an outside OpenID provider',
    2,
    ['test/end-to-end/az-outside-sign-in.test.ts'],
    1,
  ),
  files('az-recorded', 'what two versions of az sent, answered as then', 2, ['test/end-to-end/az-recorded.test.ts'], 1),
  files('az-killed', 'deployments and deletions of a killed server go on', 2, ['test/end-to-end/az-killed.test.ts'], 1),
  files(
    'az-soft-delete',
    'what was deleted, listed and restored with az in two releases',
    2,
    ['test/end-to-end/az-soft-delete.test.ts'],
    1,
  ),
  files('azure-sdk', "Azure's client library in two versions", 2, ['test/end-to-end/azure-sdk.test.ts'], 1),
  files(
    'az-errors',
    'wrong requests to the control plane, by REST and az',
    2,
    ['test/end-to-end/az-errors.test.ts'],
    1,
  ),
  files(
    'az-content',
    'both releases of the Azure CLI: what is in a registry, locked, listed, deleted',
    8,
    ['test/end-to-end/az-content.test.ts'],
    1,
  ),
  files(
    'azure-registry-client',
    "Azure's client library for the content of registries",
    2,
    ['test/end-to-end/azure-registry-client.test.ts'],
    1,
  ),
  files(
    'events',
    'subscriptions, the live stream of events, time travel',
    3,
    ['test/end-to-end/event*.test.ts', 'test/end-to-end/as-of.test.ts'],
    1,
  ),
  files('az-webhook', 'az acr webhook, 2.45 and a new release', 4, ['test/end-to-end/az-webhook.test.ts'], 1),
  files('az-token', 'both releases of the Azure CLI: repository tokens', 6, ['test/end-to-end/az-token.test.ts'], 1),
  files(
    'azure-registry-sign-in',
    "Azure's client libraries signed in to a registry",
    2,
    ['test/end-to-end/azure-registry-sign-in.test.ts'],
    1,
  ),
  files('az-acr-login', 'docker and podman signed in by az', 5, ['test/end-to-end/az-acr-login.test.ts'], 1),
  // With an empty cache it also installs that CLI from PyPI: 70 seconds and 400 MB on disk.
  files('az-role', 'a new release of the Azure CLI: roles', 3, ['test/end-to-end/az-role.test.ts'], 1),
  files('az-newest', 'a new release of the Azure CLI', 6, ['test/end-to-end/az-newest.test.ts'], 1),
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
