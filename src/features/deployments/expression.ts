import type { Json } from '../../wire/arm/json.ts';
import { ExpressionError } from './expression-error.ts';

/** An expression of the template language, `[concat('a', parameters('b').c[0])]`, as a tree: data, never code. */
export type Expression =
  | { readonly kind: 'value'; readonly value: Json }
  | { readonly kind: 'call'; readonly name: string; readonly args: readonly Expression[] }
  | { readonly kind: 'member'; readonly of: Expression; readonly name: Expression };

/** Source: Azure Resource Manager, "Template limits". */
const maxLength = 24_576;
const maxDepth = 64;

/** Whether a string of a template is an expression: `[…]`, but not `[[…`, which stands for a text with a bracket. */
export function isExpression(text: string): boolean {
  return text.startsWith('[') && text.endsWith(']') && !text.startsWith('[[');
}

/** Reads the text between the outer brackets. Throws ExpressionError. Source: Azure Resource Manager, "Template expressions". */
export function parseExpression(text: string): Expression {
  if (text.length > maxLength) throw new ExpressionError('the expression is too long');
  return new ExpressionReader(text.slice(1, -1)).read();
}

class ExpressionReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  read(): Expression {
    const expression = this.#expression(0);
    if (this.#at < this.#text.length) throw this.#unexpected();
    return expression;
  }

  #expression(depth: number): Expression {
    if (depth > maxDepth) throw new ExpressionError('the expression is nested too deeply');
    let of = this.#primary(depth);
    for (let links = 0; ; links += 1) {
      if (links > maxDepth) throw new ExpressionError('the expression has too many members behind each other');
      if (this.#takeMark('.')) of = { kind: 'member', of, name: { kind: 'value', value: this.#word() } };
      else if (this.#takeMark('[')) {
        const name = this.#expression(depth + 1);
        this.#expect(']');
        of = { kind: 'member', of, name };
      } else return of;
    }
  }

  #primary(depth: number): Expression {
    const quoted = this.#take(/'((?:[^']|'')*)'\s*/y);
    if (quoted !== undefined) return { kind: 'value', value: quoted.trimEnd().slice(1, -1).replaceAll("''", "'") };
    const digits = this.#take(/[-+]?\d{1,15}(?![\w.])\s*/y);
    if (digits !== undefined) return { kind: 'value', value: Number(digits) };
    const name = this.#functionName();
    this.#expect('(');
    const args: Expression[] = [];
    if (this.#takeMark(')')) return { kind: 'call', name, args };
    do args.push(this.#expression(depth + 1));
    while (this.#takeMark(','));
    this.#expect(')');
    return { kind: 'call', name, args };
  }

  /** With its namespace when the template brings it: `contoso.uniqueName`. */
  #functionName(): string {
    const name = this.#word();
    return this.#takeMark('.') ? `${name}.${this.#word()}` : name;
  }

  #word(): string {
    const word = this.#take(/[A-Za-z_][\w-]*\s*/y);
    if (word === undefined) throw this.#unexpected();
    return word.trimEnd();
  }

  #expect(mark: string): void {
    if (!this.#takeMark(mark)) throw this.#unexpected(`'${mark}' is expected`);
  }

  #takeMark(mark: string): boolean {
    this.#take(/\s+/y);
    if (this.#text[this.#at] !== mark) return false;
    this.#at += 1;
    this.#take(/\s+/y);
    return true;
  }

  #take(pattern: RegExp): string | undefined {
    if (pattern.source !== '\\s+') this.#take(/\s+/y);
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }

  #unexpected(wanted = 'this is not expected'): ExpressionError {
    const rest = this.#text.slice(this.#at, this.#at + 20);
    return new ExpressionError(`${wanted} at character ${this.#at + 1} of the expression, before '${rest}'`);
  }
}
