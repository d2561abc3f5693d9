import { type Comparison, type Condition, repositoryNameAttribute } from './condition.ts';

/** What is wrong with the text of a condition, and where: a whole sentence without the period. */
export class ConditionError extends Error {}

const maxLength = 8_192;
const maxDepth = 32;
const maxTerms = 1_000;

const roleAssignments = 'microsoft.authorization/roleassignments';
const attributes: ReadonlySet<string> = new Set([
  repositoryNameAttribute,
  `${roleAssignments}:roledefinitionid`,
  `${roleAssignments}:principalid`,
  `${roleAssignments}:principaltype`,
]);

const relations = { Equals: 'equals', StartsWith: 'startsWith', Like: 'like' } as const;

/** By operator in lower case: `stringnotequalsignorecase`. */
const comparisons: ReadonlyMap<string, Comparison> = new Map(
  [false, true].flatMap((isNegated) => {
    const not = isNegated ? 'Not' : '';
    const texts = Object.entries(relations).flatMap(([word, kind]) =>
      [false, true].map((isCaseIgnored): [string, Comparison] => [
        `String${not}${word}${isCaseIgnored ? 'IgnoreCase' : ''}`.toLowerCase(),
        { kind, isCaseIgnored, isNegated },
      ]),
    );
    return [...texts, [`guid${not}equals`.toLowerCase(), { kind: 'equals', isCaseIgnored: true, isNegated }]];
  }),
);

const quantifiers: ReadonlyMap<string, boolean> = new Map([
  ['foranyofanyvalues', false],
  ['forallofanyvalues', false],
  ['foranyofallvalues', true],
  ['forallofallvalues', true],
]);

type Token = { readonly text: string; readonly at: number };

/** Reads a condition. Throws ConditionError. */
export function parseCondition(text: string): Condition {
  if (text.length > maxLength) throw new ConditionError(`it has more than ${maxLength} characters`);
  return new ConditionReader(tokensOf(text)).read();
}

class ConditionReader {
  readonly #tokens: readonly Token[];
  #next = 0;
  #terms = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  read(): Condition {
    const condition = this.#any(0);
    const rest = this.#tokens[this.#next];
    if (rest !== undefined) throw this.#unexpected('the end, AND or OR');
    return condition;
  }

  #any(depth: number): Condition {
    if (depth > maxDepth) throw new ConditionError('it is nested too deeply');
    const terms = [this.#all(depth)];
    while (this.#take('or', '||')) terms.push(this.#all(depth));
    return joined('or', terms);
  }

  #all(depth: number): Condition {
    const terms = [this.#term(depth)];
    while (this.#take('and', '&&')) terms.push(this.#term(depth));
    return joined('and', terms);
  }

  #term(depth: number): Condition {
    this.#terms += 1;
    if (this.#terms > maxTerms) throw new ConditionError(`it has more than ${maxTerms} expressions`);
    if (this.#take('!', 'not')) {
      if (depth > maxDepth) throw new ConditionError('it is nested too deeply');
      return { kind: 'not', term: this.#term(depth + 1) };
    }
    if (this.#take('(')) {
      const inner = this.#any(depth + 1);
      this.#expect(')');
      return inner;
    }
    if (this.#take('actionmatches')) return { kind: 'action', patterns: this.#list() };
    if (this.#take('suboperationmatches')) {
      this.#list();
      return { kind: 'subOperation' };
    }
    if (this.#take('exists')) return { kind: 'exists', attribute: this.#attribute() };
    return this.#comparison();
  }

  #comparison(): Condition {
    const attribute = this.#attribute();
    const { comparison, isEvery } = this.#operator();
    const values = this.#tokens[this.#next]?.text === '{' ? this.#list() : [this.#value()];
    if (isEvery === undefined && values.length > 1)
      throw new ConditionError('a list of several values needs ForAnyOfAnyValues: or the like before the operator');
    return { kind: 'compare', attribute, comparison, isEvery: isEvery ?? false, values };
  }

  #attribute(): string {
    const text = this.#tokens[this.#next]?.text ?? '';
    const name = /^@(?:Request|Resource)\[([^\]]*)\]$/i.exec(text)?.[1]?.trim().toLowerCase();
    if (name === undefined) throw this.#unexpected('an attribute such as @Request[…:name]');
    if (!attributes.has(name)) throw new ConditionError(`the attribute ${text.slice(0, 200)} is not known`);
    this.#next += 1;
    return name;
  }

  #operator(): { readonly comparison: Comparison; readonly isEvery: boolean | undefined } {
    const text = this.#tokens[this.#next]?.text ?? '';
    const [word = '', quantifier] = text.toLowerCase().split(':').reverse();
    const comparison = comparisons.get(word);
    const isEvery = quantifier === undefined ? undefined : quantifiers.get(quantifier);
    if (comparison === undefined || (quantifier !== undefined && isEvery === undefined))
      throw this.#unexpected('an operator such as StringEquals, StringStartsWithIgnoreCase or StringLike');
    this.#next += 1;
    return { comparison, isEvery };
  }

  /** `{'a', 'b'}` */
  #list(): readonly string[] {
    this.#expect('{');
    const values = [this.#value()];
    while (this.#take(',')) values.push(this.#value());
    this.#expect('}');
    return values;
  }

  /** A text in quotes, or a GUID without. */
  #value(): string {
    const text = this.#tokens[this.#next]?.text ?? '';
    const isGuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(text);
    if (!isGuid && !text.startsWith("'")) throw this.#unexpected("a text such as 'backend/api'");
    this.#next += 1;
    return isGuid ? text : text.slice(1, -1).replaceAll("\\'", "'");
  }

  #take(...words: readonly string[]): boolean {
    const text = this.#tokens[this.#next]?.text.toLowerCase();
    if (text === undefined || !words.includes(text)) return false;
    this.#next += 1;
    return true;
  }

  #expect(word: string): void {
    if (!this.#take(word)) throw this.#unexpected(word);
  }

  #unexpected(wanted: string): ConditionError {
    const token = this.#tokens[this.#next];
    const found = token === undefined ? 'the end' : `${token.text.slice(0, 100)} at character ${token.at + 1}`;
    return new ConditionError(`${wanted} is expected, and ${found} was found`);
  }
}

/** Each pattern begins with another character, so that no text is looked at twice. */
function tokensOf(text: string): readonly Token[] {
  const pattern = /\s+|'(?:[^'\\]|\\.)*'|@[A-Za-z]+\[[^\]]*\]|[A-Za-z0-9][A-Za-z0-9:-]*|&&|\|\||[!(){},]/gy;
  const tokens: Token[] = [];
  for (let at = 0; at < text.length; at = pattern.lastIndex) {
    pattern.lastIndex = at;
    const token = pattern.exec(text)?.[0];
    if (token === undefined)
      throw new ConditionError(`character ${at + 1} is not expected: ${text.slice(at, at + 20)}`);
    if (token.trim() !== '') tokens.push({ text: token, at });
  }
  return tokens;
}

function joined(kind: 'and' | 'or', terms: readonly Condition[]): Condition {
  const [only] = terms;
  return terms.length === 1 && only !== undefined ? only : { kind, terms };
}
