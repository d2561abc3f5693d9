import { BerthError } from '../../core/errors.ts';
import { type ImmutableTagRule, immutableTagRulesSchema } from '../../wire/arm/immutable-tags-schema.ts';
import { matchesPattern } from './name-pattern.ts';

/** Which tags of one repository are written once: what a registry's rules say. */
export type ImmutableTags = {
  readonly holds: (tag: string) => boolean;
  /** Throws `tagImmutable` for a tag that may not be deleted either. */
  readonly refuseDeletion: (tag: string) => void;
  /** Whether any tag of the repository may be kept from deletion: only then do tags have to be looked at. */
  readonly keepsSome: boolean;
};

const none: ImmutableTags = { holds: () => false, refuseDeletion: () => {}, keepsSome: false };

/** `rules` is the registry's column: JSON that was checked when it was set. */
export function immutableTagsOf(rules: string, repository: string): ImmutableTags {
  if (rules === '[]') return none;
  const ofRepository = immutableTagRulesSchema
    .parse(JSON.parse(rules))
    .filter((rule) => matchesPattern(rule.repositories, repository));
  const holding = (tag: string) => ofRepository.filter((rule) => covers(rule, tag));
  return {
    holds: (tag) => holding(tag).length > 0,
    refuseDeletion: (tag) => {
      const rule = holding(tag).find(({ deletes }) => deletes === 'refused');
      if (rule !== undefined) throw new BerthError('tagImmutable', { repository, tag, rule: rule.tags });
    },
    keepsSome: ofRepository.some(({ deletes }) => deletes === 'refused'),
  };
}

function covers(rule: ImmutableTagRule, tag: string): boolean {
  return matchesPattern(rule.tags, tag) && !rule.except.some((pattern) => matchesPattern(pattern, tag));
}
