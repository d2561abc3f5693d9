import { promisify } from 'node:util';
import { zstdCompress, zstdDecompress } from 'node:zlib';
import { z } from 'zod';

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

const times = { createdAt: z.int(), changedAt: z.int() };

/** One statement of the inventory; of two about the same thing, the later one is true. Locks and times as in the tables. */
const lineSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('registry'),
    uid: z.string(),
    name: z.string(),
    sku: z.enum(['Basic', 'Standard', 'Premium']),
    writtenAt: z.int(),
  }),
  z.object({ kind: z.literal('repository'), repository: z.string(), locks: z.int(), ...times }),
  /** It was deleted; what follows may have made it again. */
  z.object({ kind: z.literal('repositoryGone'), repository: z.string() }),
  z.object({
    kind: z.literal('manifest'),
    repository: z.string(),
    digest: z.string(),
    mediaType: z.string(),
    locks: z.int(),
    ...times,
    /** Base64. */
    body: z.string(),
  }),
  z.object({ kind: z.literal('manifestGone'), repository: z.string(), digest: z.string() }),
  z.object({
    kind: z.literal('tag'),
    repository: z.string(),
    tag: z.string(),
    digest: z.string(),
    hybridTime: z.int(),
    region: z.string(),
    locks: z.int(),
    ...times,
  }),
  z.object({ kind: z.literal('tagGone'), repository: z.string(), tag: z.string() }),
]);

export type InventoryLine = z.infer<typeof lineSchema>;
export type LineOf<Kind extends InventoryLine['kind']> = Extract<InventoryLine, { kind: Kind }>;

/** JSON lines under Zstandard. */
export async function packLines(lines: readonly string[]): Promise<Uint8Array> {
  return await compress(Buffer.from(lines.join('\n')));
}

/** Throws for bytes that are no inventory. */
export async function unpackLines(bytes: Uint8Array): Promise<InventoryLine[]> {
  const text = (await decompress(bytes)).toString('utf8');
  return text.split('\n').map((line) => lineSchema.parse(JSON.parse(line)));
}
