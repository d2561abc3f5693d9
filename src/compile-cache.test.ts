import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { temporaryFolder } from '../test/support/temporary-folder.ts';
import { dataFolderOf } from './compile-cache.mjs';

const isRoot = process.geteuid?.() === 0;
const someoneElse = 54_321;
const rootOnly = { skip: !isRoot && 'only root can give files to others' };

/** A data folder, and a source that each start imports. */
function place() {
  const { path, [Symbol.dispose]: dispose } = temporaryFolder('compile-cache');
  mkdirSync(join(path, 'data'), { mode: 0o700 });
  const source = join(path, 'source.mjs');
  writeFileSync(source, 'export const twice = (x) => 2 * x;\n');
  return { path, source, data: join(path, 'data'), [Symbol.dispose]: dispose };
}

type Place = ReturnType<typeof place>;

/** A start in a process of its own: what it was told, and whether Node took the source from the cache. */
function start({ data, source }: Pick<Place, 'data' | 'source'>, version = '1', env: NodeJS.ProcessEnv = {}) {
  const script = `
    process.umask(0);
    const { useCompileCache } = await import(${JSON.stringify(join(import.meta.dirname, 'compile-cache.mjs'))});
    console.log(JSON.stringify(useCompileCache(process.argv[1], process.argv[2])));
    await import(process.argv[3]);`;
  const { NODE_COMPILE_CACHE: _, ...rest } = process.env;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script, data, version, source], {
    encoding: 'utf8',
    env: { ...rest, NODE_DEBUG_NATIVE: 'COMPILE_CACHE', ...env },
  });
  const [line = ''] = stdout.split('\n');
  return { ...JSON.parse(line), wasRead: /source\.mjs was accepted/.test(stderr) };
}

/** The folder of one version, and the file that Node has written for the source. */
function kept(data: string) {
  const [version = ''] = readdirSync(join(data, 'berth-compiled'));
  const folder = join(data, 'berth-compiled', version);
  const [nodes = ''] = readdirSync(folder);
  const [file = ''] = readdirSync(join(folder, nodes));
  return { folder, file: join(folder, nodes, file) };
}

test('what one start has compiled the next one reads, from a folder of this user alone', () => {
  using here = place();
  const first = start(here);
  assert.deepEqual([first.kind, first.wasRead], ['own', false]);
  for (const name of readdirSync(here.data, { recursive: true, encoding: 'utf8' }))
    assert.equal(lstatSync(join(here.data, name)).mode & 0o077, 0, name);
  const second = start(here);
  assert.deepEqual([second.kind, second.wasRead, second.folder], ['own', true, first.folder]);
  assert.equal(kept(here.data).folder, first.folder);
});

for (const [what, harm, options] of [
  ['a folder that others may write to', ({ data }) => chmodSync(join(data, 'berth-compiled'), 0o777), {}],
  ['a folder of its version that the group may write to', ({ data }) => chmodSync(kept(data).folder, 0o770), {}],
  ['a file that others may write to', ({ data }) => chmodSync(kept(data).file, 0o666), {}],
  ['a file of another user', ({ data }) => chownSync(kept(data).file, someoneElse, someoneElse), rootOnly],
  [
    'a folder of another user',
    ({ data }) => chownSync(join(data, 'berth-compiled'), someoneElse, someoneElse),
    rootOnly,
  ],
] as const satisfies readonly (readonly [string, (here: Place) => void, { skip?: string | boolean }])[])
  test(`${what} is thrown away unread, and made anew`, options, () => {
    using here = place();
    start(here);
    assert.ok(start(here).wasRead);
    harm(here);
    const next = start(here);
    assert.deepEqual([next.kind, next.wasRead], ['own', false]);
    assert.ok(start(here).wasRead);
  });

test('a link in place of the folder is removed, and what it points to is left alone', () => {
  using here = place();
  const elsewhere = join(here.path, 'elsewhere');
  mkdirSync(elsewhere);
  writeFileSync(join(elsewhere, 'mine'), '');
  symlinkSync(elsewhere, join(here.data, 'berth-compiled'));
  assert.equal(start(here).kind, 'own');
  assert.deepEqual(readdirSync(elsewhere), ['mine']);
  assert.ok(lstatSync(join(here.data, 'berth-compiled')).isDirectory());
});

for (const [what, harm, options] of [
  ['others may write to the data folder', ({ data }) => chmodSync(data, 0o777), {}],
  ['others may exchange the data folder', ({ path }) => chmodSync(path, 0o777), {}],
  ['the data folder is in a folder of another user', ({ path }) => chownSync(path, someoneElse, 0), rootOnly],
] as const satisfies readonly (readonly [string, (here: Place) => void, { skip?: string | boolean }])[])
  test(`nothing is read or written where ${what}`, options, () => {
    using here = place();
    start(here);
    harm(here);
    const { kind, reason, wasRead } = start(here);
    assert.deepEqual([kind, wasRead], ['none', false]);
    assert.match(reason, /others can write to .*data or exchange it/);
  });

test('anybody may write to a folder above in which only owners remove: /tmp', () => {
  using here = place();
  chmodSync(here.path, 0o1777);
  assert.equal(start(here).kind, 'own');
});

test('what other versions have compiled leaves, and so does what grew too large', () => {
  using here = place();
  start(here, '1');
  const { folder } = kept(here.data);
  start(here, '2');
  assert.ok(!existsSync(folder));
  assert.ok(start(here, '2').wasRead);
  const left = `${kept(here.data).file}.left`;
  writeFileSync(left, '', { mode: 0o600 });
  truncateSync(left, 200 * 1024 * 1024);
  assert.ok(!start(here, '2').wasRead);
  assert.ok(!existsSync(left));
});

test('nothing leaves that was not made here, as where the folder of another program is named', () => {
  using here = place();
  for (const folder of ['compiled', 'berth-compiled']) {
    mkdirSync(join(here.data, folder, 'mine'), { recursive: true, mode: 0o700 });
    writeFileSync(join(here.data, folder, 'mine', 'out.js'), '', { mode: 0o600 });
  }
  start(here, '1');
  start(here, '2');
  assert.ok(existsSync(join(here.data, 'compiled', 'mine', 'out.js')));
  assert.ok(existsSync(join(here.data, 'berth-compiled', 'mine', 'out.js')));
});

test('a data folder that is not there is left to the server to make', () => {
  using here = place();
  const data = join(here.path, 'new');
  const { kind, reason } = start({ ...here, data });
  assert.equal(kind, 'none');
  assert.match(reason, /ENOENT/);
  assert.ok(!existsSync(data));
});

for (const [words, environment, expected] of [
  ['serve', {}, './berth-data'],
  ['serve --workers 2 --data /a', { BERTH_DATA: '/b' }, '/a'],
  ['serve --data=/a --config c.yaml', {}, '/a'],
  ['agent --slots 2', { BERTH_DATA: '/b', BERTH_CONFIG: 'c.yaml' }, '/b'],
  ['serve --config c.yaml', {}, undefined],
  ['serve', { BERTH_CONFIG: 'c.yaml' }, undefined],
  ['doctor --data /a', {}, undefined],
  ['', {}, undefined],
] as const)
  test(`the data folder of "berth ${words}" with ${JSON.stringify(environment)} is ${expected}`, () => {
    assert.equal(dataFolderOf(words.split(' '), environment), expected);
  });

test('who starts Node with a place of its own, or none, is followed', () => {
  using here = place();
  const own = join(here.path, 'own');
  assert.equal(start(here, '1', { NODE_COMPILE_CACHE: own }).kind, 'environment');
  assert.deepEqual(readdirSync(here.data), []);
  assert.equal(start(here, '1', { NODE_DISABLE_COMPILE_CACHE: '1' }).kind, 'environment');
});
