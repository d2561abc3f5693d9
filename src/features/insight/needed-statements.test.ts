import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Statement } from './audit-statement.ts';
import { NeededStatements } from './needed-statements.ts';

const statement = (seq: number, more: Partial<Statement> = {}): Statement => ({
  ...{ number: 1, atMicros: 1, source: 'access', stream: 'a', incarnation: '', seq, hash: 'h', previous: 'p' },
  ...more,
});
const removal = (firstSeq: number, seq: number, name: string) =>
  statement(seq, { segment: { firstSeq, name, sha256: 's' } });
/** Which are needed of statements in the order in which they were written: `first-last` for what left. */
const needed = (...oldestFirst: readonly Statement[]) => {
  const rule = new NeededStatements();
  return oldestFirst
    .toReversed()
    .filter((each) => rule.isNeeded(each))
    .toReversed()
    .map(({ seq, segment }) => (segment === undefined ? `${seq}` : `${segment.firstSeq}-${seq}`));
};

test('of each hundred the last is needed', () => {
  assert.deepEqual(needed(...[5, 40, 100, 101, 150, 420].map((seq) => statement(seq))), ['100', '150', '420']);
});

test('one that was written late says no more than those before it', () => {
  assert.deepEqual(needed(...[3, 6, 5].map((seq) => statement(seq))), ['6', '5']);
});

test('streams are apart', () => {
  const others: readonly Partial<Statement>[] = [{ stream: 'b' }, { incarnation: 'i' }, { source: 'journal' }];
  assert.equal(needed(statement(3), ...others.map((other) => statement(4, other))).length, 4);
});

test('what went to files needs the statement of each file alone', () => {
  const files = [removal(1, 2, 'one'), statement(3), removal(3, 4, 'two'), statement(5)];
  assert.deepEqual(needed(statement(1), statement(2), ...files), ['1-2', '3-4', '5']);
});

test('what left for good needs one statement', () => {
  assert.deepEqual(needed(statement(2), removal(1, 2, ''), statement(5), removal(1, 5, '')), ['1-5']);
  assert.deepEqual(needed(removal(1, 2, ''), removal(3, 4, 'file'), removal(5, 6, ''), removal(5, 9, '')), [
    '1-2',
    '3-4',
    '5-9',
  ]);
});
