import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PurgeOptions } from '../wire/admin/purge-schema.ts';
import { type Command, type CommandContext, exitCodes, type Given } from './command.ts';
import { type PurgeAsked, purgeAsked, purgeOptions } from './purge-request.ts';
import { runCli } from './run-cli.ts';

/** Words as a person types them, read as every command's are. */
async function read(words: readonly string[]): Promise<PurgeAsked> {
  const seen: Given[] = [];
  const command: Command = {
    words: ['purge'],
    purpose: 'delete',
    options: purgeOptions,
    run: async (_, given) => {
      seen.push(given);
      return exitCodes.done;
    },
  };
  const complaints: string[] = [];
  const code = await runCli(['purge', ...words], {
    version: '1',
    commands: [command],
    settingFlags: [{ flag: 'config', unit: 'file', meaning: 'settings file' }],
    contextFor: () => context,
    print: () => {},
    complain: (text) => complaints.push(text),
  });
  const [given] = seen;
  return given === undefined ? { problem: `${code}: ${complaints.join()}` } : purgeAsked(given);
}

const unused = () => assert.fail('not used');
const context: CommandContext = {
  ...{ print: unused, complain: unused, version: '1', connect: unused, serve: unused, agent: unused },
  ...{ buildHost: unused, store: unused, offline: unused, settings: unused, surroundings: unused, cloud: unused },
};

const plain = { filters: ['a:b'], keep: 0, untagged: 'none', includeLocked: false, dryRun: false } as const;
const base = ['--filter', 'a:b', '--ago', '1d'];

const taken: readonly [words: readonly string[], options: Partial<PurgeOptions>, note?: RegExp][] = [
  [[], {}],
  [['--keep', '3'], { keep: 3 }],
  [['--keep=3', '--untagged'], { keep: 3, untagged: 'also' }],
  [['--untagged-only'], { untagged: 'only' }],
  [['--include-locked'], { includeLocked: true }],
  [['--dry-run'], { dryRun: true }],
  [['--concurrency', '1'], {}],
  [['--concurrency=32'], {}],
  [['--concurrency', '33'], {}, /^Specified concurrency value too large\. Set to maximum value: 32$/],
  [['--concurrency', '0'], {}, /^Specified concurrency value invalid\. Set to default value: 1$/],
  [['--concurrency=-1'], {}, /^Specified concurrency value invalid/],
  [['--filter-timeout-seconds', '0'], {}],
  [['--filter-timeout-seconds', '120', '--repository-page-size', '1000', '--verbose'], {}],
  [['--config', 'berth.yaml'], {}],
];
for (const [words, options, note = /^$/] of taken)
  test(`berth purge takes ${words.join(' ') || 'a filter and an age'}`, async () => {
    const asked = await read([...base, ...words]);
    assert('options' in asked, JSON.stringify(asked));
    assert.deepEqual(asked.options, { ...plain, ago: '1d', ...options });
    assert.match(asked.notes.join('\n'), note);
  });

test('berth purge takes several filters, separated by spaces or given one by one, by name or letter', async () => {
  const asked = await read(['--filter', 'a:b  team/.*:^v[0-9]', '-f', 'c:d', '--filter=e:f', '--ago', '1d']);
  assert('options' in asked);
  assert.deepEqual(asked.options.filters, ['a:b', 'team/.*:^v[0-9]', 'c:d', 'e:f']);
});

const refused: readonly [words: readonly string[], problem: RegExp][] = [
  [['--keep', 'two'], /--keep needs a number/],
  [['--keep', '1.5'], /--keep needs a number/],
  [['--untagged', '--untagged-only'], /exclude each other/],
  [['--concurrency', 'many'], /--concurrency needs a number/],
  [['--filter-timeout-seconds', '1m'], /--filter-timeout-seconds needs a number/],
  [['--repository-page-size', '0'], /--repository-page-size needs a number above 0/],
  [['--repository-page-size', 'x'], /--repository-page-size needs a number/],
  [['--username', 'me'], /unknown option '--username'/],
  [['--all'], /unknown option '--all'/],
  [['--concurrency'], /argument missing/],
];
for (const [words, problem] of refused)
  test(`berth purge refuses ${words.join(' ')}`, async () => {
    const asked = await read([...base, ...words]);
    assert('problem' in asked);
    assert.match(asked.problem, problem);
  });
