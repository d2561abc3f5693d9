import { RE2JS } from 're2js';
import { BerthError } from '../../core/errors.ts';

/** Which repositories, and which of their tags: `--filter 'repository expression:tag expression'`. */
export type PurgeFilter = {
  /** As written. */
  readonly text: string;
  readonly matchesRepository: (name: string) => boolean;
  readonly matchesTag: (name: string) => boolean;
};

/** Of one filter, in letters. */
const maxLength = 1_000;
/** Of all filters of a purge: how many, their letters, and what their `{n}` add up to. All of them are compiled in one go. */
const [maxFilters, maxLetters, maxRepeats] = [100, 10_000, 1_000];
/** Of all filters of a purge, by `weightOf`: what they are compiled to takes that much memory, and time for each name. */
const maxWeight = 20_000;

/** As `parsePurgeFilter`, of all filters of a purge. */
export function parsePurgeFilters(texts: readonly string[]): readonly PurgeFilter[] {
  if (texts.length > maxFilters) throw refuse(`${texts.length} filters are given; up to ${maxFilters} are taken`);
  const letters = texts.reduce((sum, { length }) => sum + length, 0);
  if (letters > maxLetters) throw refuse(`the filters have ${letters} letters together; up to ${maxLetters} are taken`);
  const repeats = texts.flatMap((text) => [...text.matchAll(/\{(\d{1,4})(?:,(\d{0,4}))?\}/g)]);
  const times = repeats.reduce((sum, [, least = '', most]) => sum + Number(most || least), 0);
  if (times > maxRepeats)
    throw refuse(`the filters repeat parts of themselves ${times} times together; up to ${maxRepeats} are taken`);
  const weight = texts.reduce((sum, text) => sum + weightOf(text), 0);
  if (weight > maxWeight)
    throw refuse(`the filters have ${weight} letters with each repeat written out; up to ${maxWeight} are taken`);
  return texts.map(parsePurgeFilter);
}

/**
 * Reads a filter: two regular expressions with the one colon between them that is in no group of flags and in no bracket
 * class. The first has to match the whole name of a repository, as `^…$` around it does; the second any part of a tag.
 * Expressions are RE2's, which run in linear time. Throws `purgeInvalid`. Source: ACR Tasks reference, "Filter".
 */
export function parsePurgeFilter(text: string): PurgeFilter {
  if (text.length > maxLength)
    throw refuse(`the filter '${text.slice(0, 50)}…' has more than ${maxLength} letters: give several`);
  const colons = separators(text);
  const [colon] = colons;
  if (colon === undefined || colons.length > 1)
    throw refuse(
      `unable to correctly parse filter flag '${text}': it needs one colon between repository and tag expression`,
    );
  const [repository, tag] = [text.slice(0, colon), text.slice(colon + 1)];
  if (repository === '') throw refuse(`missing repository name/expression in filter '${text}'`);
  if (tag === '') throw refuse(`missing tag name/expression in filter '${text}'`);
  const ofRepository = compile(`^${repository}$`, text);
  const ofTag = compile(tag, text);
  return {
    text,
    matchesRepository: (name) => ofRepository.matcher(name).find(),
    matchesTag: (name) => ofTag.matcher(name).find(),
  };
}

/** An expression, piece by piece: a quote, flags, a letter or class that may be escaped, and how often the piece before is repeated. */
const pieces =
  /(?<bare>\\Q.*?(?:\\E|$)|\(\?[a-zA-Z-]*\))|\\[xpP]\{[^}]*\}|\\.|\[\^?\]?(?:\[:\^?[a-z]+:\]|\\.|[^\]\\])*\]|\{(?<least>\d+)(?:,(?<most>\d*))?\}|./gsu;

/** What letters beyond ASCII weigh in a class: without regard to case, RE2 goes through all between its ends. */
const wideWeight = 1_000;

function isWide(piece: string): boolean {
  return piece.startsWith('[') && /\\x|[^\x20-\x7e]/.test(piece);
}

/** At least the letters of a filter with each repeat written out: RE2 compiles every one by itself, those in others too. */
function weightOf(text: string): number {
  const outer: number[] = [];
  let [weight, last] = [0, 0];
  for (const { 0: piece, groups } of text.matchAll(pieces)) {
    if (groups?.least !== undefined) {
      const times = Math.max(Number(groups.most || groups.least), 1);
      weight += last * (times - 1);
      last *= times;
    } else if (piece === '(') {
      outer.push(weight);
      [weight, last] = [0, 0];
    } else if (piece === ')') {
      last = weight + 2;
      weight = last + (outer.pop() ?? 0);
    } else {
      const letters = isWide(piece) ? wideWeight : piece.length;
      weight += letters;
      // After flags and an empty quote, a repeat is one of what comes before them.
      last = letters + (groups?.bare === undefined ? 0 : last);
    }
  }
  return outer.reduce((sum, before) => sum + before, weight);
}

function separators(text: string): number[] {
  const found: number[] = [];
  let isInClass = false;
  for (let index = 0; index < text.length; index += 1) {
    const letter = text[index];
    if (!isInClass && text.startsWith('\\Q', index)) index = endOfQuote(text, index);
    else if (letter === '\\') index += 1;
    else if (isInClass) isInClass = letter !== ']' || isNamedClassEnd(text, index);
    else if (letter === '[') {
      isInClass = true;
      // A bracket that comes first is one of the class.
      if (text[index + 1] === '^') index += 1;
      if (text[index + 1] === ']') index += 1;
    } else if (letter === ':' && !/\(\?[a-zA-Z-]*$/.test(text.slice(0, index))) found.push(index);
  }
  return found;
}

/** Of `\Q…\E`, in which every letter means itself. */
function endOfQuote(text: string, start: number): number {
  const end = text.indexOf('\\E', start + 2);
  return end < 0 ? text.length : end + 1;
}

/** The bracket in `[:alpha:]` ends a named class, not the class around it. */
function isNamedClassEnd(text: string, index: number): boolean {
  return text[index - 1] === ':' && /\[:[a-z]+:$/.test(text.slice(0, index));
}

function compile(expression: string, filter: string): RE2JS {
  try {
    return RE2JS.compile(expression);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw refuse(`the filter '${filter}' is no regular expression (RE2): ${reason}`, cause);
  }
}

function refuse(message: string, cause?: unknown): BerthError {
  return new BerthError('purgeInvalid', message, { cause });
}
