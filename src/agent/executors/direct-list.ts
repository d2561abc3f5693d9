/** A word of a program has at most 128 KiB. */
const maxLength = 64 * 1024;

/** What goes past a proxy, as `NO_PROXY` has it: each once, and of very many the first. */
export function directList(names: readonly string[]): string {
  const list = [...new Set(names)].join(',');
  if (list.length <= maxLength) return list;
  return list.slice(0, list.lastIndexOf(',', maxLength));
}
