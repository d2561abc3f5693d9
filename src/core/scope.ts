/** Actions on the content of one repository, as token scopes spell them. Source: ACR semantics, token flow. */
export const repositoryActions = [
  'pull',
  'push',
  'delete',
  'metadata_read',
  'metadata_write',
  'deleted_read',
  'deleted_restore',
  'quarantine_read',
  'quarantine_write',
] as const;
export type RepositoryAction = (typeof repositoryActions)[number];

/** One asked or granted piece of access: what docker calls a resource scope. */
export type AccessScope =
  | { readonly type: 'repository'; readonly name: string; readonly actions: readonly string[] }
  | { readonly type: 'registry'; readonly name: string; readonly actions: readonly string[] };

/**
 * Reads `type:name:action,action`; several are separated by spaces. The name may hold colons (a host with a port), so the
 * type ends at the first colon and the actions begin after the last one. Scopes of other types or forms are left out: a
 * token that does not hold them is the answer.
 */
export function parseScopes(text: string): AccessScope[] {
  return text.split(' ').flatMap((part) => {
    const first = part.indexOf(':');
    const last = part.lastIndexOf(':');
    if (first < 1 || last <= first) return [];
    const type = part.slice(0, first);
    const name = part.slice(first + 1, last);
    const actions = [
      ...new Set(
        part
          .slice(last + 1)
          .split(',')
          .filter((action) => action !== ''),
      ),
    ];
    if ((type !== 'repository' && type !== 'registry') || name === '' || actions.length === 0) return [];
    return [{ type, name, actions }];
  });
}

export function formatScope(scope: AccessScope): string {
  return `${scope.type}:${scope.name}:${scope.actions.join(',')}`;
}
