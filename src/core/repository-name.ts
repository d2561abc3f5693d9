import { BerthError } from './errors.ts';

declare const repositoryNameBrand: unique symbol;
/** A checked repository name, at most 255 characters. */
export type RepositoryName = string & { readonly [repositoryNameBrand]: true };

const maxLength = 255;
const component = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const pattern = new RegExp(`^${component}(?:/${component})*$`);

export function isRepositoryName(text: string): text is RepositoryName {
  return text.length <= maxLength && pattern.test(text);
}

/**
 * Throws `nameInvalid`.
 * Source: OCI distribution specification, "Pulling manifests" (the grammar of `<name>`).
 */
export function parseRepositoryName(text: string): RepositoryName {
  if (isRepositoryName(text)) return text;
  throw new BerthError('nameInvalid', { name: text.slice(0, maxLength) });
}
