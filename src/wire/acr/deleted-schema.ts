import { z } from 'zod';

/** Body of a restore. Without a tag the manifest alone comes back. Source: ACR semantics, 8.2. */
export const restoreSchema = z.object({ tag: z.string().nullish() });

/** `GET /acr/v1/_deleted/{name}/_manifests`; times are ISO 8601. */
export type DeletedManifestsView = {
  readonly registry: string;
  readonly imageName: string;
  readonly manifests: readonly {
    readonly digest: string;
    readonly deletedAt: string;
    readonly mediaType: string;
    readonly size: number;
    readonly tags?: readonly string[];
  }[];
};

/** `GET /acr/v1/_deleted/{name}/_tags`: the key is `tag`, and the one deleted last comes last. */
export type DeletedTagsView = {
  readonly registry: string;
  readonly imageName: string;
  readonly tags: readonly { readonly tag: string; readonly digest: string; readonly deletedAt: string }[];
};
