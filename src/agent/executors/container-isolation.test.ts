import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseIsolation, type IsolationWish, type OciState } from './container-isolation.ts';

const works: OciState = { works: true };
const fails: OciState = { works: false, why: 'runc is missing', help: 'apt install runc' };
const weakness = (why: string) =>
  `containers are kept apart by chroot alone (${why}), so a step can take the credentials of its run`;

const cases: readonly (readonly [string, IsolationWish, OciState, ReturnType<typeof chooseIsolation>])[] = [
  ['auto takes oci where it works', 'auto', works, { kind: 'strong' }],
  [
    'auto does without, and says why and what would mend it',
    'auto',
    fails,
    { kind: 'weak', isAsked: false, weakness: weakness('runc is missing'), help: 'apt install runc' },
  ],
  ['oci is taken where it works', 'oci', works, { kind: 'strong' }],
  [
    'oci never becomes less by itself',
    'oci',
    fails,
    { kind: 'none', missing: 'runc is missing: apt install runc, or do without by --build-isolation auto' },
  ],
  ...([works, fails] as const).map(
    (oci) =>
      [
        `chroot is taken where it is asked for, also where oci ${oci.works ? 'works' : 'does not'}`,
        'chroot',
        oci,
        {
          kind: 'weak',
          isAsked: true,
          weakness: weakness('--build-isolation chroot'),
          help: 'use oci where runc can be installed',
        },
      ] as const,
  ),
];

for (const [sentence, wish, oci, expected] of cases)
  test(sentence, () => {
    assert.deepEqual(chooseIsolation(wish, oci), expected);
  });
