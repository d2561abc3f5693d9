import { BerthError } from '../../core/errors.ts';
import { type ImmutableTagRule, immutableTagRulesSchema } from '../../wire/arm/immutable-tags-schema.ts';
import { matchesPattern } from './name-pattern.ts';

/** Which tags of one repository are written once: what a registry's rules say. */
export type ImmutableTags = {
  readonly holds: (tag: string) => boolean;
  /** Whether a tag may not be deleted either. */
  readonly keeps: (tag: string) => boolean;
  /** Throws `tagImmutable` for such a tag. */
  readonly refuseDeletion: (tag: string) => void;
  /** Whether any tag of the repository may be kept from deletion: only then do tags have to be looked at. */
  readonly keepsSome: boolean;
};

const none: ImmutableTags = { holds: () => false, keeps: () => false, refuseDeletion: () => {}, keepsSome: false };

/** Columns of the registry and of the repository: JSON that was checked when it was set. */
export type ImmutableTagColumns = { readonly immutableTags: string; readonly ownImmutableTags: string };

export function immutableTagsOf(columns: ImmutableTagColumns, repository: string): ImmutableTags {
  const lists = [columns.immutableTags, columns.ownImmutableTags].filter((rules) => rules !== '[]');
  if (lists.length === 0) return none;
  const ofRepository = lists
    .flatMap((rules) => immutableTagRulesSchema.parse(JSON.parse(rules)))
    .filter((rule) => matchesPattern(rule.repositories, repository));
  const holding = (tag: string) => ofRepository.filter((rule) => covers(rule, tag));
  return {
    holds: (tag) => holding(tag).length > 0,
    keeps: (tag) => holding(tag).some(({ deletes }) => deletes === 'refused'),
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
