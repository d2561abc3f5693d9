/**
 * One set of permissions of a role: texts such as `Microsoft.ContainerRegistry/registries/read`, in which `*` stands for any
 * text. Source: Azure role-based access control, "Understand Azure role definitions".
 */
export type Permission = {
  /** On resources through the resource manager, and in legacy permission mode on content. */
  readonly actions: readonly string[];
  readonly notActions: readonly string[];
  /** On content, in repository permission mode. */
  readonly dataActions: readonly string[];
  readonly notDataActions: readonly string[];
};

/** An operation is an action of the resource manager, or one on data; the two never stand for each other. */
export type OperationKind = 'action' | 'dataAction';

/** Whether one of the sets gives the operation; what a set excludes, another may give. */
export function permits(permissions: readonly Permission[], kind: OperationKind, operation: string): boolean {
  return permissions.some((each) => {
    const [given, excluded] =
      kind === 'action' ? [each.actions, each.notActions] : [each.dataActions, each.notDataActions];
    return matchesSome(given, operation) && !matchesSome(excluded, operation);
  });
}

/**
 * Without regard to case. A `*` between two slashes may stand for nothing, as in `a/b` for `a`, `*`, `b`. Takes time linear in
 * the operation for each part of the pattern, as no `*` is tried twice.
 */
export function matchesOperation(pattern: string, operation: string): boolean {
  const [first = '', ...rest] = pattern.toLowerCase().split('*');
  const text = operation.toLowerCase();
  const last = rest.pop();
  if (last === undefined) return text === first;
  if (!text.startsWith(first)) return false;
  let before = first;
  let from = first.length;
  for (const part of rest) {
    const at = text.indexOf(part, from - sharedSlash(before, part));
    if (at < 0) return false;
    before = part;
    from = at + part.length;
  }
  return text.length - last.length >= from - sharedSlash(before, last) && text.endsWith(last);
}

/** Both slashes beside a `*` that stands for nothing are one. */
function sharedSlash(before: string, after: string): 0 | 1 {
  return before.endsWith('/') && after.startsWith('/') ? 1 : 0;
}

function matchesSome(patterns: readonly string[], operation: string): boolean {
  return patterns.some((pattern) => matchesOperation(pattern, operation));
}
