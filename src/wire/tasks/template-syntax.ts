import { TaskError } from './task-error.ts';

/** An expression of a template. */
export type Expression =
  | { readonly kind: 'literal'; readonly value: string | number | boolean | undefined }
  | { readonly kind: 'field'; readonly of: Expression | undefined; readonly names: readonly string[] }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'call'; readonly name: string; readonly inputs: readonly Expression[] };

/** A piece of a template. */
export type TemplateNode =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'print'; readonly value: Expression }
  | { readonly kind: 'assign'; readonly name: string; readonly isNew: boolean; readonly value: Expression }
  | {
      readonly kind: 'if' | 'with';
      readonly value: Expression;
      readonly then: readonly TemplateNode[];
      readonly otherwise: readonly TemplateNode[];
    }
  | {
      readonly kind: 'range';
      readonly names: readonly string[];
      readonly value: Expression;
      readonly then: readonly TemplateNode[];
      readonly otherwise: readonly TemplateNode[];
    };

const maxDepth = 64;

/** Reads a template: text with actions in double braces. Throws TaskError. Source: Go's text/template, "Actions" and "Pipelines". */
export function parseTemplate(text: string): readonly TemplateNode[] {
  return new Parser(cut(text)).all();
}

type Piece = { readonly kind: 'text' | 'action'; readonly text: string };

function cut(text: string): Piece[] {
  const pieces: Piece[] = [];
  let trimsNext = false;
  const addText = (part: string, trimsEnd: boolean) => {
    const start = trimsNext ? part.trimStart() : part;
    pieces.push({ kind: 'text', text: trimsEnd ? start.trimEnd() : start });
  };
  // Of the last comment: what begins behind it is looked through for no other.
  const commentEnd = text.lastIndexOf('*/', text.lastIndexOf('}}'));
  let at = 0;
  for (;;) {
    const open = text.indexOf('{{', at);
    if (open < 0) {
      addText(text.slice(at), false);
      return pieces;
    }
    const trimsBefore = /^-\s/.test(text.slice(open + 2, open + 4));
    addText(text.slice(at, open), trimsBefore);
    const close = endOfAction(text, open + 2, commentEnd);
    let body = text.slice(open + (trimsBefore ? 3 : 2), close);
    trimsNext = /\s-$/.test(body);
    if (trimsNext) body = body.slice(0, -1);
    pieces.push({ kind: 'action', text: body.trim() });
    at = close + 2;
  }
}

function endOfAction(text: string, start: number, commentEnd: number): number {
  const isComment = start <= commentEnd && /^-?\s*\/\*/.test(text.slice(start, start + 8));
  if (isComment) return text.indexOf('}}', text.indexOf('*/', start));
  for (let at = start; at < text.length; at += 1) {
    const sign = text.charAt(at);
    if (sign === '"' || sign === '`' || sign === "'") at = endOfQuote(text, at);
    else if (text.startsWith('}}', at)) return at;
  }
  throw new TaskError(`a template's action is not closed in line ${lineOf(text, start)}`);
}

function endOfQuote(text: string, start: number): number {
  const quote = text.charAt(start);
  for (let at = start + 1; at < text.length; at += 1) {
    if (text.charAt(at) === '\\' && quote !== '`') at += 1;
    else if (text.charAt(at) === quote) return at;
  }
  throw new TaskError(`a quote is not closed in a template in line ${lineOf(text, start)}`);
}

/** Errors say where and quote nothing: values of secrets are templates too, and a piece of one would not be hidden. */
function lineOf(text: string, at: number): number {
  return text.slice(0, at).split('\n').length;
}

type Stop = { readonly word: 'end' | 'else'; readonly rest: string };

class Parser {
  readonly #pieces: readonly Piece[];
  #at = 0;

  constructor(pieces: readonly Piece[]) {
    this.#pieces = pieces;
  }

  all(): readonly TemplateNode[] {
    const { nodes, stop } = this.#nodes(0);
    if (stop !== undefined) throw new TaskError(`a template has an unexpected ${stop.word}`);
    return nodes;
  }

  #nodes(depth: number): { readonly nodes: TemplateNode[]; readonly stop: Stop | undefined } {
    if (depth > maxDepth) throw new TaskError(`a template is nested deeper than ${maxDepth}`);
    const nodes: TemplateNode[] = [];
    for (;;) {
      const piece = this.#pieces[this.#at];
      if (piece === undefined) return { nodes, stop: undefined };
      this.#at += 1;
      if (piece.kind === 'text') nodes.push({ kind: 'text', text: piece.text });
      else if (!piece.text.startsWith('/*')) {
        const [, word = '', rest = ''] = /^([a-z]*)\s*([\s\S]*)$/.exec(piece.text) ?? [];
        if (word === 'end' || word === 'else') return { nodes, stop: { word, rest } };
        nodes.push(this.#action(word, rest, piece.text, depth));
      }
    }
  }

  #action(word: string, rest: string, text: string, depth: number): TemplateNode {
    if (word === 'if' || word === 'with') return this.#branch(word, rest, depth);
    if (word === 'range') return this.#range(rest, depth);
    if (['define', 'template', 'block', 'break', 'continue'].includes(word)) {
      throw new TaskError(`templates do not know {{${word}}} here`);
    }
    const [, name, sign, value] = /^\$([A-Za-z0-9_]+)\s*(:?=)\s*([\s\S]+)$/.exec(text) ?? [];
    if (name !== undefined && value !== undefined) {
      return { kind: 'assign', name, isNew: sign === ':=', value: parsePipeline(value) };
    }
    return { kind: 'print', value: parsePipeline(text) };
  }

  #branch(kind: 'if' | 'with', condition: string, depth: number): TemplateNode {
    const value = parsePipeline(condition);
    const { nodes: then, stop } = this.#nodes(depth + 1);
    return { kind, value, then, otherwise: this.#otherwise(kind, stop, depth) };
  }

  #range(text: string, depth: number): TemplateNode {
    const [, first, second, value = text] =
      /^\$([A-Za-z0-9_]+)\s*(?:,\s*\$([A-Za-z0-9_]+)\s*)?:=\s*([\s\S]+)$/.exec(text) ?? [];
    const names = [first, second].filter((name) => name !== undefined);
    const { nodes: then, stop } = this.#nodes(depth + 1);
    return {
      kind: 'range',
      names,
      value: parsePipeline(value),
      then,
      otherwise: this.#otherwise('range', stop, depth),
    };
  }

  #otherwise(kind: string, stop: Stop | undefined, depth: number): readonly TemplateNode[] {
    if (stop === undefined) throw new TaskError(`a template's {{${kind}}} has no {{end}}`);
    if (stop.word === 'end') return [];
    const [, word, rest = ''] = /^(if|with)\s+([\s\S]+)$/.exec(stop.rest) ?? [];
    if (word === 'if' || word === 'with') return [this.#branch(word, rest, depth + 1)];
    if (stop.rest !== '') throw new TaskError(`a template has an unexpected word after else`);
    const { nodes, stop: end } = this.#nodes(depth + 1);
    if (end?.word !== 'end') throw new TaskError(`a template's {{${kind}}} has no {{end}}`);
    return nodes;
  }
}

const tokenPattern =
  /\s*(?:("(?:[^"\\]|\\[\s\S])*"|`[^`]*`|'(?:[^'\\]|\\[\s\S])')|([-+]?(?:0[xX][0-9a-fA-F]+|\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?))|(\$[A-Za-z0-9_]*)|((?:\.[A-Za-z_][A-Za-z0-9_]*)+|\.)|([A-Za-z_][A-Za-z0-9_]*)|([()|]))/y;

type Token = {
  readonly kind: 'quoted' | 'number' | 'variable' | 'field' | 'name' | 'sign';
  readonly text: string;
  /** Nothing stands between it and the one before. */
  readonly isJoined: boolean;
};

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  tokenPattern.lastIndex = 0;
  const source = text.trimEnd();
  while (tokenPattern.lastIndex < source.length) {
    const start = tokenPattern.lastIndex;
    const found = tokenPattern.exec(source);
    if (found === null) throw new TaskError(`a template's action cannot be read at its character ${start + 1}`);
    const kinds = ['quoted', 'number', 'variable', 'field', 'name', 'sign'] as const;
    const index = found.slice(1).findIndex((group) => group !== undefined);
    const kind = kinds[index] ?? 'sign';
    tokens.push({ kind, text: found[index + 1] ?? '', isJoined: !/^\s/.test(found[0]) });
  }
  return tokens;
}

/** Reads `a | b c | d`: each command gets the value before it as its last input. */
function parsePipeline(text: string): Expression {
  const tokens = tokensOf(text);
  const reader = new ExpressionReader(tokens);
  const value = reader.pipeline(0);
  if (!reader.isAtEnd) throw new TaskError("a template's action has more than one value");
  return value;
}

class ExpressionReader {
  readonly #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#tokens.length;
  }

  pipeline(depth: number): Expression {
    if (depth > maxDepth) throw new TaskError(`a template is nested deeper than ${maxDepth}`);
    let value = this.#command(undefined, depth);
    while (this.#takes('|')) value = this.#command(value, depth);
    return value;
  }

  #command(piped: Expression | undefined, depth: number): Expression {
    const first = this.#tokens[this.#at];
    if (first?.kind !== 'name' || ['true', 'false', 'nil'].includes(first.text)) {
      const value = this.#operand(depth);
      if (piped !== undefined) throw new TaskError('a template pipes a value into something that is no function');
      return value;
    }
    this.#at += 1;
    const inputs: Expression[] = [];
    while (!this.isAtEnd && !this.#isAt('|') && !this.#isAt(')')) inputs.push(this.#operand(depth));
    return { kind: 'call', name: first.text, inputs: piped === undefined ? inputs : [...inputs, piped] };
  }

  #operand(depth: number): Expression {
    const token = this.#tokens[this.#at];
    if (token === undefined) throw new TaskError('a template lacks a value');
    this.#at += 1;
    const value = this.#simple(token, depth);
    const next = this.#tokens[this.#at];
    if (next?.kind !== 'field' || !next.isJoined || next.text === '.') return value;
    this.#at += 1;
    return { kind: 'field', of: value, names: next.text.slice(1).split('.') };
  }

  #simple(token: Token, depth: number): Expression {
    switch (token.kind) {
      case 'quoted':
        return { kind: 'literal', value: unquote(token.text) };
      case 'number':
        return { kind: 'literal', value: Number(token.text.replaceAll('_', '')) };
      case 'variable':
        return { kind: 'variable', name: token.text.slice(1) };
      case 'field':
        return { kind: 'field', of: undefined, names: token.text === '.' ? [] : token.text.slice(1).split('.') };
      case 'name':
        if (token.text === 'true' || token.text === 'false') return { kind: 'literal', value: token.text === 'true' };
        if (token.text === 'nil') return { kind: 'literal', value: undefined };
        return { kind: 'call', name: token.text, inputs: [] };
      case 'sign': {
        if (token.text !== '(') throw new TaskError(`a template has an unexpected ${token.text}`);
        const value = this.pipeline(depth + 1);
        if (!this.#takes(')')) throw new TaskError('a template lacks a closing parenthesis');
        return value;
      }
    }
  }

  #isAt(sign: string): boolean {
    const token = this.#tokens[this.#at];
    return token?.kind === 'sign' && token.text === sign;
  }

  #takes(sign: string): boolean {
    if (!this.#isAt(sign)) return false;
    this.#at += 1;
    return true;
  }
}

function unquote(text: string): string | number {
  const content = text.slice(1, -1);
  if (text.startsWith('`')) return content;
  const plain = content.replaceAll(/\\([\s\S])/g, (_, sign: string) => escapes.get(sign) ?? sign);
  // A character in single quotes is its number, as in Go.
  return text.startsWith("'") ? (plain.codePointAt(0) ?? 0) : plain;
}

const escapes = new Map([
  ['n', '\n'],
  ['t', '\t'],
  ['r', '\r'],
]);
