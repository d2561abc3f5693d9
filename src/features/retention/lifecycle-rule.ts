import type { LifecycleRuleBody } from '../../wire/admin/lifecycle-schema.ts';
import { matchesPattern } from '../content/name-pattern.ts';
import { parsePurgeAge } from './purge-age.ts';

/** A rule as it decides; ages are microseconds. */
export type LifecycleRule = {
  readonly name: string;
  readonly matchesRepository: (repository: string) => boolean;
  readonly matchesTag: (tag: string) => boolean;
  readonly action: LifecycleAction;
};

export type LifecycleAction =
  | { readonly kind: 'keepMatching' }
  | { readonly kind: 'keepLast'; readonly count: number }
  | { readonly kind: 'keepPulled'; readonly withinMicros: number; readonly within: string }
  | {
      readonly kind: 'deleteOlder';
      readonly olderThanMicros: number;
      readonly olderThan: string;
      readonly takesTags: boolean;
      readonly takesUntagged: boolean;
    };

/** Throws `purgeInvalid` for an age that is none. */
export function lifecycleRuleOf(body: LifecycleRuleBody): LifecycleRule {
  return {
    name: body.name,
    matchesRepository: (name) => matchesPattern(body.repositories, name),
    matchesTag: (name) => matchesPattern(body.tags, name),
    action: actionOf(body),
  };
}

function actionOf(body: LifecycleRuleBody): LifecycleAction {
  switch (body.action) {
    case 'keepMatching':
      return { kind: 'keepMatching' };
    case 'keepLast':
      return { kind: 'keepLast', count: body.count };
    case 'keepPulled':
      return { kind: 'keepPulled', within: body.within, withinMicros: parsePurgeAge(body.within) * 1000 };
    case 'deleteOlder':
      return {
        kind: 'deleteOlder',
        olderThan: body.olderThan,
        olderThanMicros: parsePurgeAge(body.olderThan) * 1000,
        takesTags: body.what !== 'untagged',
        takesUntagged: body.what !== 'tags',
      };
  }
}
