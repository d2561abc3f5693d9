import type { Principal } from './principal.ts';

/** What a route of the directory needs: to see its objects, to change them, or to be told who one is. */
export type DirectoryRight = 'read' | 'write' | 'self';

/** Owners change the directory; people see it; a service principal that owns nothing sees itself only. */
export function hasDirectoryRight({ kind, isOwner }: Principal, right: DirectoryRight): boolean {
  if (isOwner || right === 'self') return true;
  return right === 'read' && kind === 'user';
}
