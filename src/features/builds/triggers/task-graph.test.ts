import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMsOf } from '../../../../test/support/cpu-time.ts';
import { type GraphTask, TaskGraph } from './task-graph.ts';

/** A task that makes an image of its own name, on images of other tasks. */
const task = (uid: string, ...bases: readonly string[]): GraphTask => ({ uid, outputs: [uid], bases });
const orderOf = (tasks: readonly GraphTask[], ...uids: readonly string[]) =>
  new TaskGraph(tasks).rebuildOrder(uids).map(({ uid, waitsFor }) => [uid, ...waitsFor].join(' '));

test('a rebuild takes what stands on a task, each behind those that it waits for', () => {
  const tasks = [task('shop', 'node', 'tools'), task('node', 'debian'), task('tools', 'debian'), task('debian')];
  assert.deepEqual(orderOf(tasks, 'debian'), ['debian', 'node debian', 'tools debian', 'shop node tools']);
  assert.deepEqual(orderOf(tasks, 'tools'), ['tools', 'shop tools'], 'what it stands on stays');
  assert.deepEqual(orderOf(tasks, 'shop', 'node', 'shop'), ['node', 'shop node']);
  assert.deepEqual(orderOf(tasks, 'unknown'), ['unknown']);
});

test('a ring is cut where it closes', () => {
  assert.deepEqual(orderOf([task('a', 'c'), task('b', 'a'), task('c', 'b')], 'b'), ['b', 'c b', 'a c']);
  assert.deepEqual(orderOf([task('self', 'self')], 'self'), ['self']);
  const twoRings = [task('a', 'b'), task('b', 'a'), task('c', 'd', 'b'), task('d', 'c')];
  assert.deepEqual(orderOf(twoRings, 'a'), ['a', 'b a', 'c b', 'd c']);
});

test('an image is made above a task that makes it itself, or by what stands on it', () => {
  const graph = new TaskGraph([task('base'), task('app', 'base'), task('other')]);
  assert.equal(graph.isMadeAbove('base', 'app'), true);
  assert.equal(graph.isMadeAbove('base', 'base'), true);
  assert.equal(graph.isMadeAbove('app', 'base'), false);
  assert.equal(graph.isMadeAbove('base', 'other'), false);
  assert.equal(graph.isMadeAbove('base', 'nowhere'), false);
});

test('the order of very many tasks takes time that grows with their number', () => {
  const chain = Array.from({ length: 20_000 }, (_each, at) => task(`${at}`, ...(at === 0 ? [] : [`${at - 1}`])));
  const star = Array.from({ length: 20_000 }, (_each, at) => task(`s${at}`, 'root'));
  const tookMs = cpuMsOf(() => {
    assert.equal(orderOf(chain, '0').at(-1), '19999 19998');
    assert.equal(orderOf([task('root'), ...star], 'root').length, 20_001);
  });
  assert.ok(tookMs < 2_000, `${tookMs} ms`);
});
