import type { BlobExplanationView, ScrubView } from '../wire/admin/retention-schema.ts';
import { type Command, type CommandContext, type ExitCode, exitCodes, type Given, jsonOption } from './command.ts';

export const retentionCommands: readonly Command[] = [
  {
    words: ['gc'],
    purpose: 'free the blobs that nothing references, or say what keeps one',
    options: [
      { name: 'explain', meaning: 'say what keeps this blob', value: 'DIGEST' },
      { name: 'drop-deleted', meaning: 'drop for good what was deleted of this repository', value: 'REPOSITORY' },
      { name: 'registry', meaning: 'of this registry (default: local)', value: 'NAME' },
      jsonOption,
    ],
    run: async (context, given) => {
      const client = await context.connect();
      const repository = given.option('drop-deleted');
      if (repository !== undefined) {
        const dropped = await client.deletedDrop(given.option('registry') ?? 'local', repository);
        return answer(context, given, dropped, [`dropped ${dropped.manifests} deleted manifests for good`]);
      }
      const digest = given.option('explain');
      if (digest !== undefined) {
        const found = await client.blobExplain(given.option('registry') ?? 'local', digest);
        return answer(context, given, found, explanationLines(found));
      }
      const freed = await client.garbageCollect();
      return answer(context, given, freed, [`freed ${freed.blobs} blobs, ${freed.bytes} bytes`]);
    },
  },
  {
    words: ['scrub'],
    purpose: 'show how far the comparison of stored blobs with their digests has come',
    options: [{ name: 'restart', meaning: 'begin again at the first blob' }, jsonOption],
    run: async (context, given) => {
      const client = await context.connect();
      const progress = given.isSet('restart') ? await client.scrubRestart() : await client.scrubShow();
      return answer(context, given, progress, [progressLine(progress)]);
    },
  },
];

function answer(context: CommandContext, given: Given, value: object, lines: readonly string[]): ExitCode {
  context.print(given.isSet('json') ? JSON.stringify(value, null, 2) : lines.join('\n'));
  return exitCodes.done;
}

function explanationLines(blob: BlobExplanationView): readonly string[] {
  const { digest, sizeBytes, state, references, referenceCount, repositories, graceUntil } = blob;
  const kept = references.map(({ repository, manifest, tags, isDeleted }) => {
    const state = isDeleted ? 'deleted, can be restored' : tags.join(', ') || 'untagged';
    return `  ${repository}@${manifest} (${state})`;
  });
  const more = referenceCount - references.length;
  return [
    `${digest}: ${sizeBytes} bytes, ${state}, shown by ${repositories.join(', ') || 'no repository'}`,
    referenceCount === 0 ? `nothing references it: it may leave from ${graceUntil} on` : 'kept by',
    ...kept,
    ...(more > 0 ? [`  and ${more} more manifests`] : []),
  ];
}

function progressLine({ beganAt, endedAt, blobs, bytes, damaged }: ScrubView): string {
  if (beganAt === null) return 'no blob was compared yet: the first walk begins by itself';
  const when = endedAt === null ? `since ${beganAt}` : `from ${beganAt} to ${endedAt}`;
  const found = damaged === 0 ? 'all as pushed' : `${damaged} damaged and set aside: push them again`;
  return `${when}: ${blobs} blobs, ${bytes} bytes, ${found}`;
}
