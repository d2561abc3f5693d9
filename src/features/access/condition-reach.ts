import { type Condition, holds, repositoryNameAttribute } from './condition.ts';

/**
 * Which repositories a condition leaves of a registry for one operation, in a form that goes into a query: at most these. It is
 * exactly these unless `isExact` is false; the condition then has to be asked for each.
 */
export type Reach = {
  /** Every repository; names and prefixes are empty then. */
  readonly isAll: boolean;
  readonly names: readonly string[];
  readonly prefixes: readonly string[];
  readonly isExact: boolean;
};

const all: Reach = { isAll: true, names: [], prefixes: [], isExact: true };
const none: Reach = { isAll: false, names: [], prefixes: [], isExact: true };
const someOfAll: Reach = { ...all, isExact: false };

export function reachOf(condition: Condition, operation: string): Reach {
  switch (condition.kind) {
    case 'and':
      return condition.terms.map((term) => reachOf(term, operation)).reduce(both, all);
    case 'or':
      return condition.terms.map((term) => reachOf(term, operation)).reduce(either, none);
    case 'not':
      return without(reachOf(condition.term, operation));
    case 'compare':
      return condition.attribute === repositoryNameAttribute ? comparisonReach(condition) : none;
    default:
      return holds(condition, { operation, attributes: new Map([[repositoryNameAttribute, '']]) }) ? all : none;
  }
}

/** Repository names are in lower case, so that a value in any other form names none where case counts. */
function comparisonReach({ comparison, isEvery, values }: Extract<Condition, { readonly kind: 'compare' }>): Reach {
  const isPlain = !comparison.isNegated && comparison.kind !== 'like';
  if (!isPlain || (isEvery && values.length > 1)) return someOfAll;
  const texts = comparison.isCaseIgnored ? values.map((value) => value.toLowerCase()) : values;
  if (comparison.kind === 'equals') return { ...none, names: texts };
  return texts.includes('') ? all : { ...none, prefixes: texts };
}

function both(a: Reach, b: Reach): Reach {
  const isExact = a.isExact && b.isExact;
  if (a.isAll) return { ...b, isExact };
  if (b.isAll) return { ...a, isExact };
  return {
    isAll: false,
    names: [...a.names.filter((name) => isIn(b, name)), ...b.names.filter((name) => isIn(a, name))],
    prefixes: [...a.prefixes.filter((each) => isBelow(b, each)), ...b.prefixes.filter((each) => isBelow(a, each))],
    isExact,
  };
}

function either(a: Reach, b: Reach): Reach {
  if (a.isAll && a.isExact) return a;
  if (b.isAll && b.isExact) return b;
  const isExact = a.isExact && b.isExact;
  if (a.isAll || b.isAll) return { ...all, isExact };
  return { isAll: false, names: [...a.names, ...b.names], prefixes: [...a.prefixes, ...b.prefixes], isExact };
}

function without(reach: Reach): Reach {
  if (!reach.isExact) return someOfAll;
  if (reach.isAll) return none;
  return reach.names.length + reach.prefixes.length === 0 ? all : someOfAll;
}

function isIn({ names, prefixes }: Reach, name: string): boolean {
  return names.includes(name) || prefixes.some((prefix) => name.startsWith(prefix));
}

function isBelow({ prefixes }: Reach, prefix: string): boolean {
  return prefixes.some((each) => prefix.startsWith(each));
}
