import type { Cell } from './cell.ts';

/** Words of buildah in a cell. As in buildah.ts. */
function buildahOf(cell: Cell, signal: AbortSignal): (...words: readonly string[]) => Promise<string> {
  const { folder } = cell;
  const storage = ['--root', `${folder}/storage`, '--runroot', `${folder}/runroot`, '--storage-driver', 'overlay'];
  return async (...words) => (await cell.read(['buildah', ...storage, ...words], { signal })).trim();
}

/**
 * Brings images that BuildKit made into the store of the cell's buildah under these names, where other steps find them: one of
 * them as it is, several as an index. Each is an archive of docker's form in the cell. Throws ProgramError.
 */
export async function loadImages(
  cell: Cell,
  archives: readonly string[],
  tags: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const buildah = buildahOf(cell, signal);
  const ids: string[] = [];
  for (const archive of archives) ids.push(await buildah('pull', '--quiet', '--', `docker-archive:${archive}`));
  const [id = '', ...otherIds] = ids;
  if (otherIds.length === 0) {
    await buildah('tag', '--', id, ...tags);
    return;
  }
  const [first = '', ...others] = tags;
  // Of an earlier build in this run, if there was one.
  await buildah('rmi', '--', first).catch(() => signal.throwIfAborted());
  await buildah('manifest', 'create', '--', first, ...ids);
  for (const other of others) await buildah('tag', '--', first, other);
}
