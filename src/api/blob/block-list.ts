import { BerthError } from '../../core/errors.ts';

const entry = /^\s*<(Latest|Uncommitted|Committed)>([^<>&]{1,100})<\/\1>/;

/**
 * The ids of a Put Block List, in order. Read by its own small grammar: what else XML may hold is refused. Throws
 * `blobRequestInvalid`. Source: Azure Storage, "Put Block List".
 */
export function parseBlockList(text: string): string[] {
  const [, inner] = /^\uFEFF?\s*(?:<\?xml[^<>]{0,200}\?>)?\s*<BlockList>(.*)<\/BlockList>\s*$/s.exec(text) ?? [];
  if (inner === undefined) throw new BerthError('blobRequestInvalid', 'the body is no list of blocks');
  const ids: string[] = [];
  let rest = inner;
  while (rest.trim() !== '') {
    const [all, , id] = entry.exec(rest) ?? [];
    if (all === undefined || id === undefined)
      throw new BerthError('blobRequestInvalid', `the list of blocks is not understood after ${ids.length} of them`);
    ids.push(id.trim());
    rest = rest.slice(all.length);
  }
  return ids;
}
