import { isTag } from '../../core/reference.ts';
import { isRepositoryName } from '../../core/repository-name.ts';

/** Which repositories and tags a webhook hears of. */
export type WebhookScope = { readonly repository: Pattern; readonly tag: Pattern };

/** A name, or with `isPrefix` everything that begins with it. */
type Pattern = { readonly text: string; readonly isPrefix: boolean };

const anything: Pattern = { text: '', isPrefix: true };
const repositoryStart = /^(?:[a-z0-9][a-z0-9._/-]*)?$/;
const tagStart = /^(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,126})?$/;

/**
 * Reads a scope: empty or `*` for everything, `app:*` for all tags of a repository, `app:v1` for one tag, `app` for `app:latest`;
 * and, beyond Azure, a `*` at the end of either part: `team/*`, `app:v1*`. Undefined when malformed.
 * Source: ACR semantics, "Webhook resource".
 */
export function parseScope(text: string): WebhookScope | undefined {
  if (text === '') return { repository: anything, tag: anything };
  if (text.length > 400) return undefined;
  const [name = '', tagText, ...rest] = text.split(':');
  if (rest.length > 0) return undefined;
  const repository = patternOf(name, isRepositoryName, repositoryStart);
  const tag = patternOf(tagText ?? (repository?.isPrefix ? '*' : 'latest'), isTag, tagStart);
  return repository === undefined || tag === undefined ? undefined : { repository, tag };
}

/** Without tags only a scope that takes every tag holds. */
export function isInScope({ repository, tag }: WebhookScope, at: string, tags: readonly string[]): boolean {
  if (!matches(repository, at)) return false;
  return (tag.isPrefix && tag.text === '') || tags.some((each) => matches(tag, each));
}

function patternOf(text: string, isWhole: (text: string) => boolean, start: RegExp): Pattern | undefined {
  const isPrefix = text.endsWith('*');
  const name = isPrefix ? text.slice(0, -1) : text;
  return (isPrefix ? start.test(name) : isWhole(name)) ? { text: name, isPrefix } : undefined;
}

function matches({ text, isPrefix }: Pattern, name: string): boolean {
  return isPrefix ? name.startsWith(text) : name === text;
}
