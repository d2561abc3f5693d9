import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';

const source = import.meta.dirname;

/** A feature may import those before it. Source: docs/architecture.md. */
const features = [
  'resources',
  'identity',
  'registries',
  'access',
  'throttling',
  'content',
  'retention',
  'trust',
  'upstream',
  'replication',
  'builds',
  'webhooks',
  'insight',
  'deployments',
];

/** What each folder may import beside itself; everything else may import all of `src`. */
const allowed: Readonly<Record<string, readonly string[]>> = {
  core: [],
  wire: ['core'],
  client: ['core', 'wire'],
  platform: ['core', 'wire', 'client'],
  features: ['core', 'wire', 'client', 'platform'],
  api: ['core', 'wire', 'client', 'platform', 'features'],
  operate: ['core', 'wire', 'client', 'platform', 'features'],
  cli: ['core', 'wire', 'client'],
  agent: ['core', 'wire', 'client', 'platform'],
};
const agentPlatform = ['clock', 'log', 'outbound', 'process'];
const withoutNode = ['core', 'wire', 'client'];

type Import = { readonly from: string; readonly to: string };

const imports = globSync('**/*.ts', { cwd: source }).flatMap(importsOf);

test('every import points the way of the import rule', () => {
  assert.ok(imports.length > 100, 'the import lines were read');
  const wrong = imports.filter((line) => !isAllowed(line)).map(({ from, to }) => `${from} imports ${to}`);
  assert.deepEqual(wrong, []);
});

test('core, wire and client run in a browser: they import nothing of Node', () => {
  const wrong = imports
    .filter(({ from, to }) => withoutNode.includes(topOf(from)) && to.startsWith('node:') && !from.endsWith('.test.ts'))
    .map(({ from, to }) => `${from} imports ${to}`);
  assert.deepEqual(wrong, []);
});

test('names are exported one by one: no default exports and no files that only pass names on', () => {
  const wrong = globSync('**/*.ts', { cwd: source }).filter((file) =>
    /^export (default|\* from)/m.test(readFileSync(join(source, file), 'utf8')),
  );
  assert.deepEqual(wrong, []);
});

function importsOf(file: string): Import[] {
  const text = readFileSync(join(source, file), 'utf8');
  const found = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\s[^;]*?from\s+'([^']+)'|import\('([^']+)'\)|(?:^|\n)import '([^']+)'/g,
  );
  return [...found].map(([, named, dynamic, bare]) => {
    const to = named ?? dynamic ?? bare ?? '';
    return { from: file, to: to.startsWith('.') ? relative(source, resolve(source, dirname(file), to)) : to };
  });
}

function isAllowed({ from, to }: Import): boolean {
  // Packages and Node; and tests may use test/support.
  if (!to.endsWith('.ts')) return true;
  if (to.startsWith('..')) return from.endsWith('.test.ts') || from.endsWith('-suite.ts');
  const [folder, target] = [topOf(from), topOf(to)];
  const rule = allowed[folder];
  if (rule === undefined) return true;
  if (folder === 'features' && target === 'features') return isEarlierFeature(from, to);
  if (folder === 'agent' && target === 'platform') {
    const ofTests = from.endsWith('.test.ts') && to.startsWith('platform/system-');
    return ofTests || agentPlatform.some((part) => to.startsWith(`platform/${part}`));
  }
  return folder === target || rule.includes(target);
}

function isEarlierFeature(from: string, to: string): boolean {
  const [own, other] = [featureOf(from), featureOf(to)];
  return own >= 0 && other >= 0 && other <= own;
}

function featureOf(file: string): number {
  return features.indexOf(file.split('/')[1] ?? '');
}

function topOf(file: string): string {
  return file.split('/')[0] ?? '';
}
