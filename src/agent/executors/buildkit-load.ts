import type { Cell } from './cell.ts';
import type { ImageBuild } from './executor.ts';

/**
 * Brings an image that BuildKit made into the store of the cell's buildah, under its names, where other steps find it: an
 * archive of docker's form, or an OCI layout with one image for each platform. Throws ProgramError.
 */
export async function loadImage(cell: Cell, path: string, build: ImageBuild, signal: AbortSignal): Promise<void> {
  const { folder } = cell;
  // As in buildah.ts.
  const storage = ['--root', `${folder}/storage`, '--runroot', `${folder}/runroot`, '--storage-driver', 'overlay'];
  const buildah = (...words: readonly string[]) => cell.read(['buildah', ...storage, ...words], { signal });
  const [first = '', ...others] = build.tags;
  if (build.platforms.length > 1) {
    await buildah('rmi', '--', first).catch(() => undefined);
    signal.throwIfAborted();
    await buildah('manifest', 'create', '--', first);
    await buildah('manifest', 'add', '--all', '--', first, `oci-archive:${path}`);
    for (const other of others) await buildah('tag', '--', first, other);
    return;
  }
  const id = (await buildah('pull', '--quiet', '--', `docker-archive:${path}`)).trim();
  await buildah('tag', '--', id, ...build.tags);
}
