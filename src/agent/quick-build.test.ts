import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DockerBuild } from '../wire/builds/run-work.ts';
import { hasTemplates } from './quick-build.ts';

const plain: DockerBuild = {
  ...{ kind: 'dockerBuild', dockerFile: 'Dockerfile', noCache: false, isPushEnabled: true },
  ...{ imageNames: ['app:v1'], arguments: [{ name: 'A', value: '{b}', isSecret: false }] },
};

const cases: readonly [string, DockerBuild, boolean][] = [
  ['none', plain, false],
  ['the name', { ...plain, imageNames: ['app:v1', 'app:{{.Run.ID}}'] }, true],
  ['the Dockerfile', { ...plain, dockerFile: '{{.Run.OS}}.Dockerfile' }, true],
  ['the target', { ...plain, target: '{{.Run.OS}}' }, true],
  ['an argument', { ...plain, arguments: [{ name: 'A', value: 'a{{/*', isSecret: true }] }, true],
];
for (const [label, work, expected] of cases)
  test(`templates in a quick build: ${label}`, () => assert.equal(hasTemplates(work), expected));
