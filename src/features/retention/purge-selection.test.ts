import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type LeavingManifest,
  type LeavingTag,
  type ManifestFacts,
  type PurgeRule,
  selectPurge,
  type TagFacts,
} from './purge-selection.ts';
import { atOnce } from './sliced.ts';

const hex = (name: string) => Buffer.from(name.padEnd(32, '.')).toString('hex');
const digestOf = (name: string) => `sha256:${hex(name)}`;

/** Of this age in days before the moment; negative ones are too young. */
function manifest(name: string, age = 1, more: Partial<Omit<ManifestFacts, 'digest'>> = {}): ManifestFacts {
  return {
    digest: digestOf(name),
    changedAtMicros: 1000 - age,
    isLocked: false,
    children: [],
    subject: undefined,
    ...more,
  };
}

function tag(name: string, of: string, age = 1, isLocked = false): TagFacts {
  return { name, digest: digestOf(of), changedAtMicros: 1000 - age, isLocked };
}

const rule: PurgeRule = {
  matchesTag: () => true,
  takesUntagged: true,
  beforeMicros: 1000,
  freshSinceMicros: 1000,
  keep: 0,
  includesLocked: false,
};

function taken(tags: readonly TagFacts[], manifests: readonly ManifestFacts[], more: Partial<PurgeRule> = {}): string {
  const selection = atOnce(selectPurge({ tags, manifests }, { ...rule, ...more }));
  const names = new Map(
    manifests.map(({ digest }) => [digest, Buffer.from(digest.slice(7), 'hex').toString().replace(/\.+$/, '')]),
  );
  const manifestName = ({ manifest: { digest } }: LeavingManifest) => `@${names.get(digest)}`;
  const tagName = ({ tag: { name } }: LeavingTag) => (name.startsWith('sha256-') ? `${name.split('.').at(-1)}` : name);
  return [
    ...selection.tags.map(tagName),
    ...selection.groups.flatMap((group) => {
      const along = [...group.tags.map(tagName), ...group.followers.map(manifestName)];
      return [`${manifestName(group)}${along.length === 0 ? '' : `(${along.join(' ')})`}`];
    }),
  ].join(' ');
}

const untaggedOnly = { matchesTag: undefined };

const rows: readonly [string, string, string][] = [
  [
    'tags that match and are old enough leave, and what they leave behind',
    taken([tag('old', 'a', 2), tag('young', 'b', -1)], [manifest('a', 2), manifest('b', 2)]),
    'old @a',
  ],
  ['a change at the very moment is too young', taken([tag('now', 'a', 0)], [manifest('a', 0)]), ''],
  [
    'tags alone leave unless manifests are asked for',
    taken([tag('v1', 'a')], [manifest('a')], { takesUntagged: false }),
    'v1',
  ],
  [
    'the newest that could leave are kept: young, locked and other ones do not use up the number',
    taken(
      [tag('a1', 'a', 1), tag('a2', 'a', 2), tag('a3', 'a', 3), tag('lock', 'a', 1, true), tag('young', 'a', -1)],
      [manifest('a')],
      { keep: 2, takesUntagged: false },
    ),
    'a3',
  ],
  ['a locked tag stays and holds its manifest', taken([tag('v1', 'a', 1, true)], [manifest('a')]), ''],
  [
    'locked ones leave where that is asked for',
    taken([tag('v1', 'a', 1, true)], [manifest('a', 1, { isLocked: true })], { includesLocked: true }),
    'v1 @a',
  ],
  ['a locked manifest stays without its tag', taken([tag('v1', 'a')], [manifest('a', 1, { isLocked: true })]), 'v1'],
  [
    'DL-02: what a tagged index lists stays, however deep',
    taken(
      [tag('keep', 'top', -1)],
      [
        manifest('top', 2, { children: [digestOf('mid')] }),
        manifest('mid', 2, { children: [digestOf('leaf')] }),
        manifest('leaf', 2),
      ],
    ),
    '',
  ],
  [
    'what a locked index lists stays',
    taken([], [manifest('top', 2, { isLocked: true, children: [digestOf('leaf')] }), manifest('leaf', 2)]),
    '',
  ],
  [
    'an index without a tag leaves before what it lists',
    taken([], [manifest('leaf', 1), manifest('top', 2, { children: [digestOf('leaf')] })]),
    '@top @leaf',
  ],
  [
    'a child of two indexes stays with the one that stays',
    taken(
      [tag('keep', 'kept', -1)],
      [
        manifest('kept', 2, { children: [digestOf('leaf')] }),
        manifest('gone', 2, { children: [digestOf('leaf')] }),
        manifest('leaf', 2),
      ],
    ),
    '@gone',
  ],
  [
    'DL-11: signatures and SBOMs stay with their image, also those of signatures',
    taken(
      [tag('keep', 'app', -1)],
      [
        manifest('app', 9),
        manifest('sbom', 9, { subject: digestOf('app') }),
        manifest('sig', 9, { subject: digestOf('sbom') }),
      ],
    ),
    '',
  ],
  [
    'signatures leave with their image',
    taken([tag('v1', 'app')], [manifest('app', 9), manifest('sig', 8, { subject: digestOf('app') })]),
    'v1 @app(@sig)',
  ],
  [
    'what refers to an image that is not here is left alone',
    taken([], [manifest('sig', 9, { subject: digestOf('app') })]),
    '',
  ],
  [
    "cosign's tags stay with the image they belong to",
    taken(
      [tag('keep', 'app', -1), tag(`sha256-${hex('app')}.sig`, 'sig', 9)],
      [manifest('app', 9), manifest('sig', 9)],
    ),
    '',
  ],
  [
    "cosign's tags leave with the image they belong to",
    taken([tag('v1', 'app', 2), tag(`sha256-${hex('app')}.sig`, 'sig', 9)], [manifest('app', 9), manifest('sig', 9)]),
    'v1 @app(sig @sig)',
  ],
  [
    "cosign's tags leave with their image though nothing else would take them",
    taken(
      [tag('v1', 'app', 2), tag(`sha256-${hex('app')}.sig`, 'sig', -1)],
      [manifest('app', 9), manifest('sig', -1)],
      { matchesTag: (name) => name === 'v1' },
    ),
    'v1 @app(sig @sig)',
  ],
  [
    "cosign's tag stays where it is locked",
    taken(
      [tag('v1', 'app', 2), tag(`sha256-${hex('app')}.sig`, 'sig', 9, true)],
      [manifest('app', 9), manifest('sig', 9)],
    ),
    'v1 @app',
  ],
  [
    'one SBOM of two images leaves with the second',
    taken(
      [tag('v1', 'a', 2), tag('v2', 'b', 3), tag(`sha256-${hex('a')}.sbom`, 's'), tag(`sha256-${hex('b')}.sbom`, 's')],
      [manifest('a', 2), manifest('b', 3), manifest('s', 9)],
    ),
    'v1 v2 @a(sbom) @b(sbom @s)',
  ],
  [
    'one SBOM of two images stays with the one that stays',
    taken(
      [tag('v1', 'a', 2), tag('v2', 'b', -3), tag(`sha256-${hex('a')}.sbom`, 's'), tag(`sha256-${hex('b')}.sbom`, 's')],
      [manifest('a', 2), manifest('b', 3), manifest('s', 9)],
    ),
    'v1 @a(sbom)',
  ],
  [
    'tags that are written once stay, whatever may be unlocked',
    taken([{ ...tag('v1', 'a'), isImmutable: true }], [manifest('a')], { includesLocked: true }),
    '',
  ],
  [
    'the number kept counts manifests by themselves, and keeps what they need',
    taken([], [manifest('new', 1, { children: [digestOf('leaf')] }), manifest('leaf', 5), manifest('old', 3)], {
      ...untaggedOnly,
      keep: 1,
    }),
    '@old',
  ],
  ['without a filter no tag is touched', taken([tag('v1', 'a')], [manifest('a'), manifest('b')], untaggedOnly), '@b'],
];

for (const [label, actual, expected] of rows) {
  test(`purge: ${label}`, () => assert.equal(actual, expected));
}

test('purge: an image to which 150,000 others refer leaves with them, and keeps them where it stays', () => {
  const referrers = Array.from({ length: 150_000 }, (_, index) =>
    manifest(`r${index}`, 9, { subject: digestOf('app') }),
  );
  const all = [manifest('app', 9), ...referrers];
  const kept = atOnce(selectPurge({ tags: [tag('v1', 'app', -1)], manifests: all }, rule));
  assert.deepEqual(kept.groups, []);
  const { groups } = atOnce(selectPurge({ tags: [], manifests: all }, rule));
  assert.deepEqual([groups.length, groups[0]?.followers.length], [1, referrers.length]);
});
