/** Whether an id is a scope or anything inside it; both in lower case. `/` holds everything. */
export function isWithinScope(idKey: string, scopeKey: string): boolean {
  return scopeKey === '/' || idKey === scopeKey || idKey.startsWith(`${scopeKey}/`);
}
