import { BerthError } from '../../core/errors.ts';

const declaration = /^<\?xml[^<>]{0,200}\?>/;
const [opening, closing] = ['<BlockList>', '</BlockList>'];
const entry = /^\s*<(Latest|Uncommitted|Committed)>([^<>&]{1,100})<\/\1>/;

/**
 * The ids of a Put Block List, in order. Read by its own small grammar: what else XML may hold is refused. Throws
 * `blobRequestInvalid`. Source: Azure Storage, "Put Block List".
 */
export function parseBlockList(text: string): string[] {
  // A pattern with blanks in two places would try every split of a lot of them. `trim` takes a byte order mark away too.
  const list = text.trim().replace(declaration, '').trimStart();
  if (!list.startsWith(opening) || !list.endsWith(closing))
    throw new BerthError('blobRequestInvalid', 'the body is no list of blocks');
  const ids: string[] = [];
  let rest = list.slice(opening.length, -closing.length).trimEnd();
  while (rest !== '') {
    const [all, , id] = entry.exec(rest) ?? [];
    if (all === undefined || id === undefined)
      throw new BerthError('blobRequestInvalid', `the list of blocks is not understood after ${ids.length} of them`);
    ids.push(id.trim());
    rest = rest.slice(all.length);
  }
  return ids;
}
