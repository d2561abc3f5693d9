import { BerthError } from '../../core/errors.ts';
import type { Run } from './run.ts';

/** Which runs a list shows. */
export type RunFilter = (run: Run) => boolean;

const maxLength = 4_000;
const maxDepth = 20;

type Value = string | number | boolean | null;
type Comparison = 'eq' | 'ne' | 'gt' | 'ge' | 'lt' | 'le';
const comparisons: readonly string[] = ['eq', 'ne', 'gt', 'ge', 'lt', 'le'];

/** By the lower-cased name: clients write them `TaskName` or `taskName`. Times are microseconds. */
const properties: Readonly<Record<string, (run: Run) => Value>> = {
  runid: ({ runId }) => runId,
  runtype: ({ runType }) => runType,
  status: ({ status }) => status,
  createtime: ({ createdAtMicros }) => createdAtMicros,
  finishtime: ({ finishedAtMicros }) => finishedAtMicros ?? null,
  outputimagemanifests: manifestsOf,
  isarchiveenabled: ({ isArchiveEnabled }) => isArchiveEnabled,
  taskname: ({ taskName }) => taskName ?? null,
  agentpoolname: ({ agentPoolName }) => agentPoolName ?? null,
};

const times: readonly string[] = ['createtime', 'finishtime'];

/**
 * Reads a `$filter` of runs: comparisons and `contains`, joined by `and`, `or` and parentheses; names, operators and texts are
 * compared without regard to case. Throws `filterInvalid`. Source: ACR tasks, 3.2.
 */
export function parseRunFilter(text: string | undefined): RunFilter {
  if (text === undefined || text.trim() === '') return () => true;
  return new Reader(text).read();
}

class Reader {
  readonly #tokens: readonly string[];
  #next = 0;

  constructor(text: string) {
    if (text.length > maxLength) throw invalid('it is too long');
    this.#tokens = text.match(/'(?:[^']|'')*'|[A-Za-z0-9_:.+-]+|\S/g) ?? [];
  }

  read(): RunFilter {
    const filter = this.#any(0);
    if (this.#next < this.#tokens.length) throw invalid(`'${this.#token(this.#next)}' is not expected`);
    return filter;
  }

  #any(depth: number): RunFilter {
    if (depth > maxDepth) throw invalid('it is nested too deeply');
    const terms = [this.#all(depth)];
    while (this.#take('or')) terms.push(this.#all(depth));
    return (run) => terms.some((term) => term(run));
  }

  #all(depth: number): RunFilter {
    const terms = [this.#term(depth)];
    while (this.#take('and')) terms.push(this.#term(depth));
    return (run) => terms.every((term) => term(run));
  }

  #term(depth: number): RunFilter {
    if (this.#take('(')) {
      const inner = this.#any(depth + 1);
      this.#expect(')');
      return inner;
    }
    if (this.#take('contains')) return this.#contains();
    const name = this.#word().toLowerCase();
    const read = propertyOf(name);
    const operator = this.#word().toLowerCase();
    if (!isComparison(operator)) throw invalid(`'${operator.slice(0, 40)}' is not an operator here`);
    const wanted = this.#value(name);
    return (run) => holds(read(run), operator, wanted);
  }

  #contains(): RunFilter {
    this.#expect('(');
    const read = propertyOf(this.#word().toLowerCase());
    this.#expect(',');
    const wanted = textOf(this.#word()).toLowerCase();
    this.#expect(')');
    return (run) => {
      const value = read(run);
      return typeof value === 'string' && value.toLowerCase().includes(wanted);
    };
  }

  /** Of a property: dates stand with or without quotes. */
  #value(name: string): Value {
    const token = this.#word();
    if (token.toLowerCase() === 'null') return null;
    if (times.includes(name)) {
      const text = token.startsWith("'") ? textOf(token) : token;
      const ms = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
      if (Number.isNaN(ms)) throw invalid(`'${text.slice(0, 40)}' is not a time such as 2026-01-31T10:00:00Z`);
      return ms * 1000;
    }
    if (/^(true|false)$/i.test(token)) return token.toLowerCase() === 'true';
    return textOf(token);
  }

  #token(at: number): string {
    return (this.#tokens[at] ?? '').slice(0, 40);
  }

  #word(): string {
    const token = this.#tokens[this.#next++];
    if (token === undefined) throw invalid('it ends too early');
    return token;
  }

  #take(word: string): boolean {
    if (this.#tokens[this.#next]?.toLowerCase() !== word) return false;
    this.#next += 1;
    return true;
  }

  #expect(token: string): void {
    if (!this.#take(token)) throw invalid(`'${token}' is expected`);
  }
}

/** As `contains(OutputImageManifests, 'repository@digest')` asks for them. */
function manifestsOf({ images }: Run): string {
  return images.map(({ repository, digest }) => `${repository}@${digest}`).join(',');
}

function propertyOf(name: string): (run: Run) => Value {
  const read = Object.hasOwn(properties, name) ? properties[name] : undefined;
  if (read === undefined) throw invalid(`'${name.slice(0, 40)}' cannot be compared`);
  return read;
}

function isComparison(word: string): word is Comparison {
  return comparisons.includes(word);
}

function holds(value: Value, operator: Comparison, wanted: Value): boolean {
  const [left, right] = [folded(value), folded(wanted)];
  if (operator === 'eq') return left === right;
  if (operator === 'ne') return left !== right;
  if (left === null || right === null || typeof left !== typeof right) return false;
  switch (operator) {
    case 'gt':
      return left > right;
    case 'ge':
      return left >= right;
    case 'lt':
      return left < right;
    case 'le':
      return left <= right;
  }
}

function folded(value: Value): Value {
  return typeof value === 'string' ? value.toLowerCase() : value;
}

function textOf(token: string): string {
  if (!/^'.*'$/s.test(token) || token.length < 2) throw invalid('a text in single quotes is expected');
  return token.slice(1, -1).replaceAll("''", "'");
}

function invalid(reason: string): BerthError {
  return new BerthError('filterInvalid', {
    message: `Invalid $filter: ${reason}. Use comparisons such as TaskName eq 'x', joined by and.`,
    target: '$filter',
  });
}
