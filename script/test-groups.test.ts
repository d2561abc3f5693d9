import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { testGroups } from './test-groups.ts';

const cwd = join(import.meta.dirname, '..');

/** Names of the groups that run each file, by the database that they are told to take. */
function groupsOf(database: string | undefined): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const { name, work } of testGroups) {
    if (work.kind !== 'files' || work.env?.BERTH_TEST_DATABASE !== database) continue;
    for (const file of work.patterns.flatMap((pattern) => globSync(pattern, { cwd })))
      groups.set(file, [...(groups.get(file) ?? []), name]);
  }
  return groups;
}

test('every test file is run by one group, and by at most one more on PostgreSQL', () => {
  const [once, again] = [groupsOf(undefined), groupsOf('postgres')];
  const files = globSync('**/*.test.ts', { cwd, exclude: ['**/node_modules'] });
  assert.notEqual(files.length, 0);
  const problems = files.flatMap((file) => {
    const [groups, more] = [once.get(file) ?? [], again.get(file) ?? []];
    if (groups.length === 0)
      return [`${file} is run by no group: add it to the one of script/test-groups.ts that it belongs to`];
    if (groups.length === 1 && more.length <= 1) return [];
    return [`${file} is run more than once, by ${[...groups, ...more].join(', ')}: leave it in one of them`];
  });
  assert.deepEqual(problems, []);
});

test('every pattern of a group finds a file', () => {
  const patterns = testGroups.flatMap(({ work }) => (work.kind === 'files' ? work.patterns : []));
  assert.deepEqual(
    patterns.filter((pattern) => globSync(pattern, { cwd }).length === 0),
    [],
  );
});
