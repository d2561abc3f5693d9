import { z } from 'zod';
import { isImageName } from '../../wire/tasks/image-name.ts';

/** Names of an image that another one can stand for. */
const imageSchema = z.object({ image: z.string().optional(), mirrors: z.array(z.string()).nullish() });
const metadataSchema = z.object({
  stack: z.object({ runImage: imageSchema.nullish() }).nullish(),
  images: z.array(imageSchema).nullish(),
});
const maxImages = 40;

/**
 * What images of a builder may stand on, by the text of its label; none where that is not told. Its maker may have written
 * anything. Source: pack, "builder metadata" (`io.buildpacks.builder.metadata`).
 */
export function runImagesOf(label: string): readonly string[] {
  const parsed = metadataSchema.safeParse(jsonOf(label));
  const { stack, images } = parsed.data ?? {};
  const all = [stack?.runImage, ...(images ?? [])].flatMap((each) => [each?.image ?? [], each?.mirrors ?? []].flat());
  return [...new Set(all)].filter(isImageName).slice(0, maxImages);
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Then it tells nothing.
    return undefined;
  }
}
