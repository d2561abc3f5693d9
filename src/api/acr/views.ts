import type { ManifestMetadata, RepositoryMetadata, TagMetadata } from '../../features/content/metadata.ts';
import type { Place } from '../../features/content/place.ts';
import type { Registry } from '../../features/registries/registry.ts';
import type { ManifestView, RepositoryView, TagView } from '../../wire/acr/metadata-schema.ts';

/** What every answer about a repository begins with. */
export function headOf(registry: Registry, { repository }: Place) {
  return { registry: registry.loginServer, imageName: repository };
}

/**
 * Entries of one page; null where there are none: Azure's `acr` asks until it reads that, and breaks on an empty list, the first
 * one too. Source: acr-cli, ListTags.
 */
export function pageOf<Entry>(entries: readonly Entry[]): Entry[] | null {
  return entries.length === 0 ? null : [...entries];
}

export function repositoryView(registry: Registry, place: Place, metadata: RepositoryMetadata): RepositoryView {
  return {
    ...headOf(registry, place),
    ...timesOf(metadata),
    manifestCount: metadata.manifestCount,
    tagCount: metadata.tagCount,
    changeableAttributes: { ...metadata.attributes },
    ...(metadata.immutableTags.length === 0 ? {} : { immutableTags: [...metadata.immutableTags] }),
  };
}

export function tagView({ name, digest, attributes, ...metadata }: TagMetadata): TagView {
  return {
    name,
    digest,
    ...timesOf(metadata),
    ...pullOf(metadata),
    signed: false,
    changeableAttributes: { ...attributes },
  };
}

export function manifestView(metadata: ManifestMetadata): ManifestView {
  const { digest, imageSize, architecture, os, mediaType, configMediaType, tags, references, attributes } = metadata;
  const { state, details } = metadata.quarantine;
  return {
    digest,
    imageSize,
    ...timesOf(metadata),
    ...pullOf(metadata),
    ...(architecture === undefined ? {} : { architecture }),
    ...(os === undefined ? {} : { os }),
    mediaType,
    ...(configMediaType === undefined ? {} : { configMediaType }),
    ...(tags.length === 0 ? {} : { tags: [...tags] }),
    ...(references === undefined ? {} : { references }),
    changeableAttributes: {
      ...attributes,
      quarantineState: state,
      ...(details === undefined ? {} : { quarantineDetails: details }),
    },
  };
}

function timesOf({ createdAt, changedAt }: { readonly createdAt: number; readonly changedAt: number }) {
  return { createdTime: timeText(createdAt), lastUpdateTime: timeText(changedAt) };
}

/** Ours; left out where nobody has pulled. */
function pullOf({ pulledAt }: { readonly pulledAt: number | undefined }) {
  return pulledAt === undefined ? {} : { lastPullTime: timeText(pulledAt) };
}

/** Microseconds since 1970 with the seven fractional digits that ACR's times have. */
export function timeText(micros: number): string {
  const seconds = new Date(Math.floor(micros / 1_000_000) * 1000).toISOString().slice(0, 19);
  return `${seconds}.${String(micros % 1_000_000).padStart(6, '0')}0Z`;
}
