import { refuse } from './refuse.ts';
import type { ResourceHead } from './resource.ts';

/** A `$filter` of a list of resources or groups. */
export type ResourceFilter = {
  readonly matches: (resource: ResourceHead) => boolean;
  /** `type` and `groupName` say all of it. */
  readonly isExact: boolean;
  /** A type and group that every match has, for the database. */
  readonly type: string | undefined;
  readonly groupName: string | undefined;
};

const maxLength = 4_000;
const maxDepth = 20;

type Term = (resource: ResourceHead) => boolean;
type Compare = { readonly field: string; readonly value: string };

const everything: ResourceFilter = {
  matches: () => true,
  isExact: true,
  type: undefined,
  groupName: undefined,
};

/**
 * Reads comparisons (`eq`, `ne`), `substringof`, `startswith`, `and`, `or` and parentheses; values compare without regard to
 * case, but for those of tags. Throws `filterInvalid`. Source: Azure Resource Manager, "Resources - List".
 */
export function parseResourceFilter(text: string | undefined): ResourceFilter {
  if (text === undefined || text.trim() === '') return everything;
  const reader = new FilterReader(text);
  return reader.read();
}

class FilterReader {
  readonly #tokens: string[];
  #next = 0;
  #terms = 0;

  constructor(text: string) {
    if (text.length > maxLength) throw invalid('it is too long');
    // PostgreSQL keeps no text with it, so nothing would match.
    if (text.includes('\0')) throw invalid('it holds the character U+0000');
    this.#tokens = text.match(/'(?:[^']|'')*'|[A-Za-z][\w/]*|[(),]|\S/g) ?? [];
  }

  read(): ResourceFilter {
    const facts: Compare[] = [];
    const matches = this.#any(0, facts);
    if (this.#next < this.#tokens.length) throw invalid(`'${this.#tokens[this.#next]}' is not expected`);
    const fact = (field: string) => facts.find((each) => each.field === field)?.value;
    const type = fact('resourcetype');
    const groupName = fact('resourcegroup');
    // Each term adds at most one fact, so as many of these as terms leave nothing else to look at.
    const isExact = this.#terms === [type, groupName].filter((each) => each !== undefined).length;
    return { matches, isExact, type, groupName };
  }

  #any(depth: number, facts: Compare[]): Term {
    if (depth > maxDepth) throw invalid('it is nested too deeply');
    const first: Compare[] = [];
    const terms = [this.#all(depth, first)];
    while (this.#take('or')) terms.push(this.#all(depth, []));
    if (terms.length === 1) facts.push(...first);
    return (resource) => terms.some((term) => term(resource));
  }

  #all(depth: number, facts: Compare[]): Term {
    const terms: Term[] = [];
    const tag: { name?: string; value?: string } = {};
    do {
      const term = this.#term(depth, facts, tag);
      if (term !== undefined) terms.push(term);
    } while (this.#take('and'));
    if (tag.name !== undefined || tag.value !== undefined) terms.push(tagTerm(tag));
    return (resource) => terms.every((term) => term(resource));
  }

  #term(depth: number, facts: Compare[], tag: { name?: string; value?: string }): Term | undefined {
    if (this.#take('(')) {
      const inner = this.#any(depth + 1, facts);
      this.#expect(')');
      return inner;
    }
    this.#terms += 1;
    const word = (this.#tokens[this.#next++] ?? '').toLowerCase();
    if (word === 'substringof' || word === 'startswith') return this.#textTerm(word);
    const operator = (this.#tokens[this.#next++] ?? '').toLowerCase();
    if (operator !== 'eq' && operator !== 'ne') throw invalid(`'${operator}' is not an operator here`);
    const value = this.#text();
    if (operator === 'eq' && word === 'tagname') tag.name = value;
    else if (operator === 'eq' && word === 'tagvalue') tag.value = value;
    else {
      const read = fieldOf(word);
      if (operator === 'eq') facts.push({ field: word, value });
      return (resource) => (read(resource).toLowerCase() === value.toLowerCase()) === (operator === 'eq');
    }
    return undefined;
  }

  #textTerm(word: 'substringof' | 'startswith'): Term {
    this.#expect('(');
    const isTextFirst = this.#tokens[this.#next]?.startsWith("'") ?? false;
    const first = isTextFirst ? this.#text() : this.#word();
    this.#expect(',');
    const second = isTextFirst ? this.#word() : this.#text();
    this.#expect(')');
    const [text, field] = isTextFirst ? [first, second] : [second, first];
    const wanted = text.toLowerCase();
    if (field.toLowerCase() === 'tagname' && word === 'startswith')
      return ({ tags }) => Object.keys(tags).some((name) => name.toLowerCase().startsWith(wanted));
    const read = fieldOf(field.toLowerCase());
    return (resource) => {
      const value = read(resource).toLowerCase();
      return word === 'substringof' ? value.includes(wanted) : value.startsWith(wanted);
    };
  }

  #text(): string {
    const token = this.#tokens[this.#next++] ?? '';
    if (!/^'.*'$/s.test(token) || token.length < 2) throw invalid('a text in single quotes is expected');
    return token.slice(1, -1).replaceAll("''", "'");
  }

  #word(): string {
    return this.#tokens[this.#next++] ?? '';
  }

  #take(token: string): boolean {
    if (this.#tokens[this.#next]?.toLowerCase() !== token) return false;
    this.#next += 1;
    return true;
  }

  #expect(token: string): void {
    if (!this.#take(token)) throw invalid(`'${token}' is expected`);
  }
}

/** Tag names compare without regard to case, values with it. */
function tagTerm({ name, value }: { readonly name?: string; readonly value?: string }): Term {
  return ({ tags }) =>
    Object.entries(tags).some(
      ([key, held]) =>
        (name === undefined || key.toLowerCase() === name.toLowerCase()) && (value === undefined || held === value),
    );
}

function fieldOf(field: string): (resource: ResourceHead) => string {
  switch (field) {
    case 'resourcetype':
      return ({ type }) => type;
    case 'resourcegroup':
      return ({ groupName = '' }) => groupName;
    case 'name':
      return ({ name }) => name;
    case 'location':
      return ({ location = '' }) => location;
    default:
      throw invalid(`'${field.slice(0, 50)}' cannot be compared`);
  }
}

function invalid(reason: string) {
  return refuse('filterInvalid', {
    message: `Invalid $filter: ${reason}. Use comparisons such as resourceType eq 'x', joined by and.`,
    target: '$filter',
  });
}
