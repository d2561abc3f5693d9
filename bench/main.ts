import { parseArgs } from 'node:util';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { pagesOfAudit } from './audit.ts';
import { costOfChecks } from './checks.ts';
import { MiB } from './images.ts';
import { manyRepositories } from './many-repositories.ts';
import { goalTable, type Verdict, verdictTable } from './report/goals.ts';
import { jsonReport } from './report/json-report.ts';
import { machineLine } from './report/machine.ts';
import { sequenceTable } from './report/sequence-table.ts';
import { workersTable } from './report/workers.ts';
import { runScenarios, type SequenceResult } from './run-scenarios.ts';
import type { Scenario } from './sequence.ts';
import { crowds } from './sequences/crowds.ts';
import { largeLayer } from './sequences/large-layers.ts';
import { manyManifests } from './sequences/many-manifests.ts';
import { readRates } from './sequences/read-rates.ts';
import { zbScenarios } from './sequences/zb-sequences.ts';
import { berth } from './servers/berth.ts';
import { peerNamed, peerNames, runningServer } from './servers/peers.ts';
import type { ServerKind } from './servers/server-kind.ts';
import { costOfTelling } from './telling.ts';

const help = `script/bench [options] [URL…]

Measures this repository's server beside other registries, one after the other on the same disk, and prints ratios.
URL is a registry that runs already: http://user:password@host:port.

  --quick            fewer requests, one run, 20,000 instead of 100,000 tags, no 10 GB layer
  --peers a,b        ${peerNames.join(', ')}, none (default: all)
  --sequence REGEX   only sequences whose name matches
  --list             print the names of the sequences and end
  --rounds N         runs per server of which the median counts (3; 1 with --quick)
  --clients N        concurrent clients of the zb sequences (10)
  --requests N       requests of each zb sequence, whatever its size
  --skip-cleanup     leave out zb's clean-up
  --loads            also 50 pushes and 200 pulls of 20 MB together
  --check            compare digests of what comes back, before the timing
  --steps            latencies of every step
  --json             one JSON document on standard output instead of tables
  --https            measure Berth over TLS
  --workers N        measure Berth once more with so many processes
  --postgres         measure Berth once more with PostgreSQL in place of SQLite
  --checks           only what the check of credentials and rights costs a manifest GET, and end
  --many             only a server on PostgreSQL with 1,000,000 manifests in 10,000 repositories (--quick: 50,000 in 500): its
                     reads, its start, a backup and a restore; and end
  --telling          only what 20 webhooks cost 1,000 pushes, and end
  --audit            only pages of an audit of 10,000,000 lines (--quick: 200,000), on SQLite and on PostgreSQL, and end: half an hour
  --profile FOLDER   write CPU profiles of Berth there
  --folder FOLDER    where the servers keep their data (a new folder of the system's temporary folder)
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    peers: { type: 'string', default: peerNames.join(',') },
    sequence: { type: 'string', default: '' },
    list: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    clients: { type: 'string', default: '10' },
    requests: { type: 'string' },
    'skip-cleanup': { type: 'boolean', default: false },
    loads: { type: 'boolean', default: false },
    check: { type: 'boolean', default: false },
    steps: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    https: { type: 'boolean', default: false },
    workers: { type: 'string' },
    postgres: { type: 'boolean', default: false },
    checks: { type: 'boolean', default: false },
    many: { type: 'boolean', default: false },
    telling: { type: 'boolean', default: false },
    audit: { type: 'boolean', default: false },
    profile: { type: 'string' },
    folder: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

function scenarios(): Scenario[] {
  return [
    ...zbScenarios({ clients: Number(values.clients), requests: requestsOf, skipsCleanUp: values['skip-cleanup'] }),
    readRates({ clients: 64, seconds: values.quick ? 2 : 5 }),
    manyManifests({ count: values.quick ? 20_000 : 100_000, pages: values.quick ? 500 : 2000 }),
    largeLayer(1),
    ...(values.quick ? [] : [largeLayer(10)]),
    ...(values.loads ? [crowds()] : []),
  ];
}

/** About the same bytes for every size, but enough requests for a percentile. */
function requestsOf(averageBytes: number): number {
  if (values.requests !== undefined) return Number(values.requests);
  const full = averageBytes <= 2 * MiB ? 600 : averageBytes <= 20 * MiB ? 120 : 30;
  return values.quick ? full / 3 : full;
}

function servers(): ServerKind[] {
  const peers = values.peers.split(',').filter((name) => name !== '' && name !== 'none');
  const profile = values.profile === undefined ? {} : { profileFolder: values.profile };
  const ours = { usesHttps: values.https, ...profile };
  const withWorkers = values.workers === undefined ? [] : [berth({ ...ours, workers: Number(values.workers) })];
  const onPostgres = values.postgres ? [berth({ ...ours, usesPostgres: true })] : [];
  return [berth(ours), ...withWorkers, ...onPostgres, ...peers.map(peerNamed), ...positionals.map(runningServer)];
}

async function main(): Promise<void> {
  const wanted = new RegExp(values.sequence, 'i');
  const all = scenarios();
  if (values.help) return print(help);
  if (values.checks) {
    const cost = await costOfChecks({ clients: 64, turns: values.quick ? 10 : 30 });
    return print(`${machineLine()}\n${cost}\n`);
  }
  if (values.many) {
    print(`${machineLine()}\n`);
    const amount = values.quick ? { repositories: 500, requests: 500 } : { repositories: 10_000, requests: 2000 };
    return print(verdictTable(await manyRepositories({ ...amount, clients: 4, print: (line) => print(`${line}\n`) })));
  }
  if (values.telling) return print(verdictTable(await toldAndPrinted()));
  if (values.audit) return print(verdictTable(await auditOnBoth()));
  if (values.list) return print(`${all.flatMap(({ sequences }) => sequences.map(({ name }) => name)).join('\n')}\n`);
  const kinds = servers();
  using own = temporaryFolder('bench');
  if (!values.json) print(`${header(kinds)}\n`);
  const results: SequenceResult[] = [];
  const options = {
    rounds: Number(values.rounds ?? (values.quick ? 1 : 3)),
    wanted: (name: string) => wanted.test(name),
    folder: values.folder ?? own.path,
    checksDigests: values.check,
    progress: (line: string) => void process.stderr.write(`${line}\n`),
  };
  for await (const result of runScenarios(all, kinds, options)) {
    results.push(result);
    if (!values.json) print(`${sequenceTable(result, 'berth', values.steps)}\n`);
  }
  print(values.json ? `${jsonReport(kinds, results)}\n` : `${workersTable(results)}${goalTable(results)}`);
}

async function toldAndPrinted(): Promise<Verdict[]> {
  print(`${machineLine()}\n`);
  return await costOfTelling({ pushes: 1_000, rounds: values.quick ? 1 : 5, print: (line) => print(`${line}\n`) });
}

async function auditOnBoth(): Promise<Verdict[]> {
  print(`${machineLine()}\n`);
  const accesses = values.quick ? 200_000 : 10_000_000;
  const pages = (kind: 'sqlite' | 'postgres') => pagesOfAudit({ accesses, kind, print: (line) => print(`${line}\n`) });
  return [...(await pages('sqlite')), ...(await pages('postgres'))];
}

function header(kinds: readonly ServerKind[]): string {
  return [
    machineLine(),
    'On disk before a push is answered 201:',
    ...kinds.map(({ name, durability }) => `  ${name.padEnd(16)} ${durability}`),
    'Berth checks a password or token on every request; the peers let everyone in. Ratio: how many times as fast Berth was.',
    'Sequences of `zb` push the same layer again and again, which a registry may store once; "unique blobs" do not.',
    '',
  ].join('\n');
}

function print(text: string): void {
  process.stdout.write(text);
}

await main();
