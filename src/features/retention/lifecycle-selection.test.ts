import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuMsSince } from '../../../test/support/cpu-time.ts';
import { type LifecycleRuleBody, lifecycleRulesSchema } from '../../wire/admin/lifecycle-schema.ts';
import { lifecycleRuleOf } from './lifecycle-rule.ts';
import { selectLifecycle } from './lifecycle-selection.ts';
import type { ManifestFacts, RepositoryFacts, TagFacts } from './purge-selection.ts';
import { atOnce, breathing } from './sliced.ts';

const dayMicros = 86_400_000_000;
const nowMicros = 1_000 * dayMicros;
const moment = { nowMicros, freshSinceMicros: nowMicros - dayMicros / 24, pullsSinceMicros: 0 };
const digestOf = (name: string) => `sha256:${Buffer.from(name.padEnd(32, '.')).toString('hex')}`;
const nameOf = (digest: string) => Buffer.from(digest.slice(7), 'hex').toString().replace(/\.+$/, '');

/** Ages and pulls are days ago; each tag has a manifest of its name unless it says otherwise. */
function tag(name: string, age: number, more: Partial<TagFacts> = {}): TagFacts {
  return { name, digest: digestOf(name), changedAtMicros: nowMicros - age * dayMicros, isLocked: false, ...more };
}

function manifest(name: string, age: number, more: Partial<ManifestFacts> = {}): ManifestFacts {
  const facts = { digest: digestOf(name), changedAtMicros: nowMicros - age * dayMicros, isLocked: false };
  return { ...facts, children: [], subject: undefined, ...more };
}

const pulled = (daysAgo: number) => ({ pulledAtMicros: nowMicros - daysAgo * dayMicros });
const old = (days: number, more: object = {}) => ({
  name: 'old',
  action: 'deleteOlder' as const,
  olderThan: `${days}d`,
  ...more,
});

function outcome(facts: RepositoryFacts, rules: readonly object[], since = 0): string {
  const parsed: LifecycleRuleBody[] = lifecycleRulesSchema.parse(rules);
  const at = { ...moment, pullsSinceMicros: since };
  const { leaving, kept } = atOnce(selectLifecycle(facts, 'team/app', parsed.map(lifecycleRuleOf), at));
  return [
    ...leaving.tags.map((each) => `-${each.tag.name} by ${each.rule}`),
    ...leaving.groups.map((group) => `-@${nameOf(group.manifest.digest)} by ${group.rule}`),
    ...kept.map((each) => `+${each.tag ?? `@${nameOf(each.digest)}`} by ${each.rule ?? each.reason}`),
  ].join(', ');
}

const three = {
  tags: [tag('a', 10), tag('b', 20), tag('c', 30)],
  manifests: [manifest('a', 10), manifest('b', 20), manifest('c', 30)],
};

const cosignTag = (image: string) => `${digestOf(image).replace(':', '-')}.sig`;
const signaturesAlone = {
  tags: [tag(cosignTag('a'), 10, { digest: digestOf('one') }), tag(cosignTag('b'), 20, { digest: digestOf('two') })],
  manifests: [manifest('one', 10), manifest('two', 20)],
};

const rows: readonly [string, string, string][] = [
  ['without a rule that deletes nothing leaves', outcome(three, [{ name: 'k', action: 'keepLast', count: 1 }]), ''],
  [
    'what is older leaves, and what it leaves behind',
    outcome(three, [old(15)]),
    '-b by old, -c by old, -@b by old, -@c by old',
  ],
  [
    'the newest stay',
    outcome(three, [{ name: 'last', action: 'keepLast', count: 2 }, old(0)]),
    '-c by old, -@c by old, +a by last, +b by last',
  ],
  [
    'the newest of those that match stay',
    outcome(three, [{ name: 'last', tags: 'c*', action: 'keepLast', count: 1 }, old(15)]),
    '-b by old, -@b by old, +c by last',
  ],
  [
    'what matches stays, wherever the rule stands',
    outcome(three, [old(0), { name: 'named', tags: 'b', action: 'keepMatching' }]),
    '-a by old, -c by old, -@a by old, -@c by old, +b by named',
  ],
  [
    'what was pulled lately stays, by tag or digest',
    outcome(
      {
        tags: [tag('a', 50, pulled(3)), tag('b', 50), tag('c', 50, pulled(9))],
        manifests: [manifest('a', 50), manifest('b', 50, pulled(4)), manifest('c', 50), manifest('d', 50, pulled(1))],
      },
      [{ name: 'used', action: 'keepPulled', within: '5d' }, old(30)],
    ),
    '-c by old, -@c by old, +a by used, +b by used, +@d by used',
  ],
  [
    'before pulls were noted everything may have been pulled',
    outcome(three, [{ name: 'used', action: 'keepPulled', within: '5d' }, old(25)], nowMicros - 4 * dayMicros),
    '+c by used',
  ],
  [
    'locked and immutable ones stay',
    outcome(
      {
        tags: [tag('a', 9, { isLocked: true }), tag('b', 9, { isImmutable: true })],
        manifests: [manifest('a', 9), manifest('b', 9), manifest('c', 9, { isLocked: true })],
      },
      [old(1)],
    ),
    '+a by locked, +b by written once, +@c by locked',
  ],
  ['nothing of a locked repository leaves', outcome({ ...three, isLocked: true }, [old(0)]), ''],
  ['other repositories are left alone', outcome(three, [old(0, { repositories: 'ops/*' })]), ''],
  ['tags alone', outcome(three, [old(25, { what: 'tags' })]), '-c by old'],
  [
    'untagged ones alone, and no parts of a push that is under way',
    outcome({ tags: [tag('a', 9)], manifests: [manifest('a', 9), manifest('b', 9), manifest('c', 0.01)] }, [
      old(0, { what: 'untagged' }),
    ]),
    '-@b by old',
  ],
  [
    'a rule that names tags leaves manifests without a tag alone, unless it says otherwise',
    outcome({ tags: [tag('pr-1', 9)], manifests: [manifest('pr-1', 9), manifest('b', 9)] }, [old(5, { tags: 'pr-*' })]),
    '-pr-1 by old',
  ],
  [
    'and takes them where it says so',
    outcome({ tags: [tag('pr-1', 9)], manifests: [manifest('pr-1', 9), manifest('b', 9)] }, [
      old(5, { tags: 'pr-*', what: 'all' }),
    ]),
    '-pr-1 by old, -@b by old, -@pr-1 by old',
  ],
  [
    'signatures whose images are in another repository are kept and told as any other tag',
    outcome(signaturesAlone, [{ name: 'last', action: 'keepLast', count: 1 }, old(5)]),
    `-${cosignTag('b')} by old, -@two by old, +${cosignTag('a')} by last`,
  ],
  [
    'an index that stays keeps what it lists',
    outcome(
      {
        tags: [tag('top', 1), tag('leaf', 9)],
        manifests: [manifest('top', 9, { children: [digestOf('leaf')] }), manifest('leaf', 9)],
      },
      [old(5)],
    ),
    '-leaf by old',
  ],
];

for (const [label, actual, expected] of rows) {
  test(`lifecycle: ${label}`, () => assert.equal(actual, expected));
}

test('lifecycle: choosing among 100,000 tags lets others go on', async () => {
  const many = Array.from({ length: 100_000 }, (_, index) => `v${index}`);
  const facts = {
    tags: many.map((name, index) => tag(name, index / 1_000)),
    manifests: many.map((name, index) => manifest(name, index / 1_000)),
  };
  const rules = lifecycleRulesSchema.parse([{ name: 'last', action: 'keepLast', count: 10 }, old(30)]);
  const waits: number[] = [];
  // Of this thread: others that are at work do not count.
  let since = process.threadCpuUsage();
  const watch = setInterval(() => {
    waits.push(cpuMsSince(since));
    since = process.threadCpuUsage();
  }, 1);
  const { leaving, kept } = await breathing(selectLifecycle(facts, 'app', rules.map(lifecycleRuleOf), moment));
  clearInterval(watch);
  const took = waits.reduce((sum, ms) => sum + ms, 0);
  assert.deepEqual([leaving.tags.length, leaving.groups.length, kept.length], [69_999, 69_999, 0]);
  const longest = Math.max(...waits);
  assert(waits.length > 20 && longest < took / 4, `${longest} ms of ${took} ms in ${waits.length} turns`);
});

test('lifecycle: among 100,000 tags, half of them signatures, no slice computes for 50 ms', (t) => {
  const hex = (index: number) => String(index).padStart(64, '0');
  const digest = (index: number) => `sha256:${hex(index)}`;
  const many = Array.from({ length: 100_000 }, (_, index) => index);
  const facts = {
    tags: many.map((index) => ({
      name: index % 2 === 0 ? `v${index}` : `sha256-${hex(index - 1)}.sig`,
      digest: digest(index),
      changedAtMicros: 0,
      isLocked: false,
    })),
    manifests: many.map((index) => ({ ...manifest('m', 1_000), digest: digest(index) })),
  };
  const rules = lifecycleRulesSchema.parse([{ name: 'last', action: 'keepLast', count: 10 }, old(30)]);
  const sliced = selectLifecycle(facts, 'app', rules.map(lifecycleRuleOf), moment);
  const slices: number[] = [];
  for (let isDone = false; !isDone; ) {
    // Of this thread: others that are at work do not count.
    const before = process.threadCpuUsage();
    isDone = sliced.next().done === true;
    slices.push(cpuMsSince(before));
  }
  const longest = Math.max(...slices);
  t.diagnostic(`the longest of ${slices.length} slices took ${longest.toFixed(1)} ms`);
  assert(longest < 50, `${longest} ms`);
});
