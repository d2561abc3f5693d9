import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { testPostgresUrl } from '../test/support/postgres.ts';
import { compiledFolder } from './compiled-folder.ts';
import { type TestGroup, testGroups } from './test-groups.ts';
import { readTally, type Tally } from './test-report.ts';

const usage = `script/test [--list] [--long] [GROUP…]

Runs the groups named, or all of them, and closes with "N passed, N failed".
  --list   print the groups with their time budgets and end
  --long   full counts in the fault tests, and no time budgets`;

const options = {
  list: { type: 'boolean', default: false },
  long: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

const support = join(import.meta.dirname, '../test/support');
const binaries = join(import.meta.dirname, '../node_modules/.bin');

const toTerminal: Print = (text) => {
  process.stdout.write(text);
};

/** From this group on, those that may run beside others do: it waits more than it computes. */
const besideFrom = 'faults';

process.exitCode = await main();

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  const unknown = positionals.filter((name) => !testGroups.some((group) => group.name === name));
  if (values.help || unknown.length > 0) {
    console.log(unknown.length > 0 ? `no group ${unknown.join(', ')}; script/test --list shows them` : usage);
    return values.help ? 0 : 2;
  }
  const chosen = testGroups.filter((group) => positionals.length === 0 || positionals.includes(group.name));
  if (!values.list) return await runAll(chosen, values.long);
  for (const { name, minutes, meaning } of chosen) console.log(`${name.padEnd(18)}${minutes} min  ${meaning}`);
  return 0;
}

async function runAll(groups: readonly TestGroup[], isLong: boolean): Promise<number> {
  const builder = buildGoClientsAhead(groups);
  // Hundreds of servers, programs and test files begin with the same sources: what Node makes of them is made once.
  const compiled = compiledFolder();
  const env = {
    ...process.env,
    NODE_COMPILE_CACHE: compiled,
    PATH: `${binaries}:${process.env.PATH}`,
    NO_COLOR: '1',
    BERTH_TEST_POSTGRES_URL: await testPostgresUrl(),
    ...(isLong ? { BERTH_TEST_LONG: '1' } : {}),
  };
  const run = async (some: readonly TestGroup[], print: Print): Promise<Tally[]> => {
    const tallies: Tally[] = [];
    for (const group of some) {
      print(`\n== ${group.name}: ${group.meaning}\n`);
      const begin = performance.now();
      const tally = await runGroup(group, {
        env,
        timeoutMs: isLong ? undefined : group.minutes * 60_000,
        print,
      });
      print(`   ${group.name}: ${Math.round((performance.now() - begin) / 1000)} s of ${group.minutes} min\n`);
      tallies.push(tally);
    }
    return tallies;
  };
  const alone = groups.filter((group) => group.lane === undefined);
  const waiting = alone.findIndex((group) => group.name === besideFrom);
  const first = waiting < 0 ? alone.length : waiting;
  const tallies = await run(alone.slice(0, first), toTerminal);
  // What each lane prints comes when all have ended, in one piece.
  const lanes = [...Map.groupBy(groups, (group) => group.lane)].filter(([lane]) => lane !== undefined);
  const beside = lanes.map(async ([, some]) => {
    const texts: string[] = [];
    return { tallies: await run(some, (text) => texts.push(text)), text: () => texts.join('') };
  });
  tallies.push(...(await run(alone.slice(first), toTerminal)));
  for (const lane of await Promise.all(beside)) {
    tallies.push(...lane.tallies);
    process.stdout.write(lane.text());
  }
  builder?.kill();
  await rm(compiled, { recursive: true, force: true }).catch(() => {
    // A program that ends late writes there still; it is a temporary folder.
  });
  const sum = (key: keyof Tally) => tallies.reduce((total, tally) => total + tally[key], 0);
  if (sum('skipped') > 0) console.log(`\n${sum('skipped')} skipped, for the reasons above`);
  console.log(`\n${sum('passed')} passed, ${sum('failed')} failed`);
  return sum('failed') === 0 && sum('passed') > 0 ? 0 : 1;
}

type Print = (text: string) => void;
type RunOptions = { readonly env: NodeJS.ProcessEnv; readonly timeoutMs: number | undefined; readonly print: Print };

async function runGroup({ name, work }: TestGroup, { env, timeoutMs, print }: RunOptions): Promise<Tally> {
  if (work.kind === 'program') {
    const { code } = await show(work.command, { env, timeoutMs, print });
    return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
  }
  const files = work.patterns.flatMap((pattern) => globSync(pattern)).sort();
  const flags = [
    '--test',
    '--import',
    join(import.meta.dirname, 'end-of-tests.ts'),
    `--test-concurrency=${work.atOnce}`,
  ];
  const reporter = ['--test-reporter', join(import.meta.dirname, 'test-report.ts')];
  const mounts = work.hasOwnMounts === true ? ['unshare', '--mount', '--propagation', 'private'] : [];
  const command = [...mounts, 'node', ...flags, ...reporter, ...files];
  const { output } =
    files.length === 0 ? { output: '' } : await show(command, { env: { ...env, ...work.env }, timeoutMs, print });
  const tally = readTally(output);
  if (tally !== undefined && tally.passed + tally.failed + tally.skipped > 0) return tally;
  print(`   ✖ ${name}: ${files.length === 0 ? 'there are no such files' : 'ended early, or no test ran'}\n`);
  return { passed: 0, failed: 1, skipped: 0 };
}

/** Runs a command and passes on its output as it comes; stops it, with all it started, after `timeoutMs`. */
async function show(
  [program = '', ...args]: readonly string[],
  { env, timeoutMs, print }: RunOptions,
): Promise<{ readonly code: number; readonly output: string }> {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'inherit'], timeout: timeoutMs });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    print(text);
    output = (output + text).slice(-10_000);
  });
  const code = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exitCode) => resolve(exitCode ?? 1));
  });
  return { code, output };
}

/** Builds the Go clients beside the groups that come before those that need them: some take minutes on a bare machine. */
function buildGoClientsAhead(groups: readonly TestGroup[]): { kill(): void } | undefined {
  const needsNone = groups.every(
    ({ work }) => work.kind === 'program' || work.patterns.every((path) => /^(?:src|bench)\//.test(path)),
  );
  if (needsNone) return undefined;
  return spawn('nice', [process.execPath, join(support, 'go-tools.ts')], { stdio: 'ignore' });
}
