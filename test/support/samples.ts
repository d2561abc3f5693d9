import { readFileSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { cacheFolder } from './cache-folder.ts';
import { onceInCache } from './once-in-cache.ts';
import { run } from './run.ts';

/** Raised when what is built below changes, so that an older cache is not used. */
const edition = 'samples-1';

/**
 * Real images that the client tests push, as one OCI layout in the cache, and their digests.
 * `base`: Debian bookworm by debootstrap, one layer of about 40 MB compressed. `app`: built on it by buildah, three layers.
 * `multi`: an index with `app` for linux/amd64 and a small image for linux/arm64.
 */
export type Samples = { readonly layout: string; readonly digests: Readonly<Record<SampleName, string>> };
export type SampleName = 'base' | 'app' | 'multi';

/** The sample images; built by debootstrap and buildah the first time, which takes about two minutes and needs root. */
export async function samples(): Promise<Samples> {
  const layout = await onceInCache(join(cacheFolder(), edition), build);
  return { layout, digests: readDigests(layout) };
}

const indexSchema = z.object({
  manifests: z.array(
    z.object({ digest: z.string(), annotations: z.object({ 'org.opencontainers.image.ref.name': z.string() }) }),
  ),
});

function readDigests(layout: string): Samples['digests'] {
  const index = indexSchema.parse(JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')));
  const digests = new Map(
    index.manifests.map((manifest) => [manifest.annotations['org.opencontainers.image.ref.name'], manifest.digest]),
  );
  return z.object({ base: z.string(), app: z.string(), multi: z.string() }).parse(Object.fromEntries(digests));
}

async function build(work: string): Promise<string> {
  const buildah = (...args: readonly string[]) => run('buildah', [...storageFlags(work), ...args], { cwd: work });
  const root = join(work, 'rootfs');
  await run('debootstrap', ['--variant=minbase', 'bookworm', root], { timeoutMs: 900_000 });
  await run('sh', ['-c', 'rm -rf "$0"/var/cache/apt/archives/*.deb "$0"/var/lib/apt/lists/*', root]);
  writeFileSync(join(work, 'Base'), 'FROM scratch\nADD rootfs /\nCMD ["/bin/bash"]\n');
  writeFileSync(join(work, 'App'), appFile);
  writeFileSync(join(work, 'Arm'), 'FROM scratch\nCOPY greeting /opt/app/greeting\n');
  writeFileSync(join(work, 'greeting'), 'hello from the sample\n');
  await buildah('build', '-f', 'Base', '-t', 'localhost/base', '.');
  await buildah('build', '--isolation', 'chroot', '--layers', '-f', 'App', '-t', 'localhost/app', '.');
  await buildah('build', '--platform', 'linux/arm64', '-f', 'Arm', '-t', 'localhost/arm', '.');
  await buildah('manifest', 'create', 'localhost/multi', 'localhost/app', 'localhost/arm');
  await buildah('push', 'localhost/base', 'oci:out:base');
  await buildah('push', 'localhost/app', 'oci:out:app');
  await buildah('manifest', 'push', '--all', 'localhost/multi', 'oci:out:multi');
  return join(work, 'out');
}

const appFile = `FROM localhost/base
COPY greeting /opt/app/greeting
RUN sha256sum /opt/app/greeting > /opt/app/greeting.sha256
CMD ["cat", "/opt/app/greeting"]
`;

/**
 * Storage of podman's family below `folder`, apart from the machine's own: overlay, or plain copies (slower) where the
 * folder itself lies on an overlay, as in a container.
 */
export function storageFlags(folder: string): string[] {
  const overlayFileSystem = 0x794c7630;
  const driver = statfsSync(folder).type === overlayFileSystem ? 'vfs' : 'overlay';
  return ['--root', join(folder, 'storage'), '--runroot', join(folder, 'run'), '--storage-driver', driver];
}
