import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { run } from './run.ts';
import type { Samples } from './samples.ts';

const layersSchema = z.object({ layers: z.array(z.object({ digest: z.string() })) });

/** An SPDX 2.3 document (JSON text) that lists the Debian packages which the base sample image really holds. */
export async function sbomSample(samples: Samples): Promise<string> {
  const manifest = layersSchema.parse(JSON.parse(readFileSync(blobPath(samples, samples.digests.base), 'utf8')));
  const layer = blobPath(samples, manifest.layers[0]?.digest ?? '');
  const status = await run('tar', ['-xzOf', layer, '--wildcards', '*var/lib/dpkg/status']);
  const packages = [...status.stdout.matchAll(/^Package: (.+)$[\s\S]*?^Version: (.+)$/gm)].map(
    ([, name, versionInfo]) => ({
      SPDXID: `SPDXRef-${name}`,
      name,
      versionInfo,
      downloadLocation: 'NOASSERTION',
    }),
  );
  return JSON.stringify({ spdxVersion: 'SPDX-2.3', SPDXID: 'SPDXRef-DOCUMENT', name: 'debian bookworm', packages });
}

function blobPath(samples: Samples, digest: string): string {
  return join(samples.layout, 'blobs', ...digest.split(':'));
}
