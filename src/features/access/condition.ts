import { matchesOperation } from './role-permission.ts';

/** How an attribute is compared with one value. */
export type Comparison = {
  readonly kind: 'equals' | 'startsWith' | 'like';
  readonly isCaseIgnored: boolean;
  /** `StringNotEquals` and the like. */
  readonly isNegated: boolean;
};

/**
 * A condition of a role assignment: which requests the role is good for, read once and evaluated as data.
 * Source: Azure role-based access control, "Azure role assignment condition format and syntax", version 2.0.
 */
export type Condition =
  | { readonly kind: 'and' | 'or'; readonly terms: readonly Condition[] }
  | { readonly kind: 'not'; readonly term: Condition }
  /** Whether the operation is one of these. */
  | { readonly kind: 'action'; readonly patterns: readonly string[] }
  /** No operation of ours has parts. */
  | { readonly kind: 'subOperation' }
  | { readonly kind: 'exists'; readonly attribute: string }
  | {
      readonly kind: 'compare';
      readonly attribute: string;
      readonly comparison: Comparison;
      /** Whether the attribute has to stand in the relation to all values, or to any. */
      readonly isEvery: boolean;
      readonly values: readonly string[];
    };

/** What a request is about. Attributes by their names in lower case: `microsoft.containerregistry/registries/repositories:name`. */
export type Facts = { readonly operation: string; readonly attributes: ReadonlyMap<string, string> };

export const repositoryNameAttribute = 'microsoft.containerregistry/registries/repositories:name';

/** A comparison with an attribute that the request does not have does not hold. Takes time linear in the condition. */
export function holds(condition: Condition, facts: Facts): boolean {
  switch (condition.kind) {
    case 'and':
      return condition.terms.every((term) => holds(term, facts));
    case 'or':
      return condition.terms.some((term) => holds(term, facts));
    case 'not':
      return !holds(condition.term, facts);
    case 'action':
      return condition.patterns.some((pattern) => matchesOperation(pattern, facts.operation));
    case 'subOperation':
      return false;
    case 'exists':
      return facts.attributes.has(condition.attribute);
    case 'compare': {
      const value = facts.attributes.get(condition.attribute);
      if (value === undefined) return false;
      const stands = (other: string) => compare(condition.comparison, value, other);
      return condition.isEvery ? condition.values.every(stands) : condition.values.some(stands);
    }
  }
}

function compare({ kind, isCaseIgnored, isNegated }: Comparison, left: string, right: string): boolean {
  const [a, b] = isCaseIgnored ? [left.toLowerCase(), right.toLowerCase()] : [left, right];
  switch (kind) {
    case 'equals':
      return (a === b) !== isNegated;
    case 'startsWith':
      return a.startsWith(b) !== isNegated;
    case 'like':
      return isLike(a, b) !== isNegated;
  }
}

/** `*` stands for any text and `?` for one character. Goes back to the last `*` only: at most pattern times text steps. */
function isLike(text: string, pattern: string): boolean {
  let [at, next] = [0, 0];
  let star = -1;
  let retry = 0;
  while (at < text.length) {
    const wanted = pattern[next];
    if (wanted === '*') {
      star = next++;
      retry = at;
    } else if (wanted === '?' || wanted === text[at]) {
      next++;
      at++;
    } else if (star >= 0) {
      next = star + 1;
      at = ++retry;
    } else return false;
  }
  while (pattern[next] === '*') next++;
  return next === pattern.length;
}
