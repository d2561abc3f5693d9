import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Command, CommandContext } from './command.ts';
import { runCli } from './run-cli.ts';

const nothing = async () => 0 as const;
const commands: readonly Command[] = [
  { words: ['serve'], purpose: 'run', settings: 'all', run: nothing },
  { words: ['gc'], purpose: 'free', options: [{ name: 'explain', meaning: 'why', value: 'DIGEST' }], run: nothing },
  { words: ['restore'], purpose: 'put back', settings: ['data', 'blobs'], run: nothing },
];
const flags = ['config', 'data', 'server', 'blobs', 'workers'];

async function berth(...argv: string[]) {
  const printed: string[] = [];
  const given: Readonly<Record<string, string>>[] = [];
  const code = await runCli(argv, {
    version: '1.2.3',
    commands,
    settingFlags: flags.map((flag) => ({ flag, unit: 'text', meaning: `about ${flag}` })),
    contextFor: (settings): CommandContext => {
      given.push(settings);
      return context;
    },
    print: (text) => printed.push(text),
    complain: (text) => printed.push(text),
  });
  return { code, text: printed.join('\n'), given };
}

const unused = () => assert.fail('not used');
const context: CommandContext = {
  ...{
    print: unused,
    complain: unused,
    version: '1.2.3',
    connect: unused,
    serve: unused,
    agent: unused,
    buildHost: unused,
    store: unused,
    offline: unused,
  },
  ...{ settings: unused, surroundings: unused, cloud: unused },
};

test('--version prints the version', async () => {
  assert.deepEqual(await berth('--version'), { code: 0, text: '1.2.3', given: [] });
});

for (const { command, shown } of [
  { command: 'serve', shown: ['config', 'data', 'server', 'blobs', 'workers'] },
  { command: 'gc', shown: ['explain', 'config', 'data', 'server'] },
  { command: 'restore', shown: ['data', 'blobs'] },
])
  test(`the help of ${command} shows its options and the settings that matter to it`, async () => {
    const { code, text } = await berth(command, '--help');
    assert.equal(code, 0);
    const options = [...text.matchAll(/^ +--([a-z]+)/gm)].map(([, name]) => name);
    assert.deepEqual(options, shown);
    assert.equal(text.includes('berth settings'), command !== 'serve');
  });

test('a setting that the help leaves out is taken all the same', async () => {
  assert.deepEqual((await berth('gc', '--workers', '2')).given, [{ workers: '2' }]);
});
