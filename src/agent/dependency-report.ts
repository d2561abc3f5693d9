import type { ImageDependencies, ImageReference } from '../wire/builds/run-work.ts';
import { parseImageName } from '../wire/tasks/image-name.ts';
import type { BuildDependencies, MadeImages } from './run-room.ts';

/** One entry for each tag that was built, one without an image where a build has none. Source: ACR tasks, 1.8. */
export function dependenciesOf({ built, pushed }: MadeImages): ImageDependencies[] {
  return built.flatMap(({ tags, dependencies }) => entriesOf(tags, dependencies, pushed));
}

function entriesOf(
  tags: readonly string[],
  dependencies: BuildDependencies,
  pushed: MadeImages['pushed'],
): ImageDependencies[] {
  if (tags.length === 0) return [dependencies];
  return tags.map((tag) => {
    const { registry = '', repository, tag: name } = parseImageName(tag);
    const digest = pushed.get(tag)?.digest;
    const image: ImageReference = {
      registry,
      repository,
      ...(name === undefined ? {} : { tag: name }),
      ...(digest === undefined ? {} : { digest }),
      reference: tag,
    };
    return { image, ...dependencies };
  });
}

/** As the product shows them in the log. */
export function dependencyText(list: readonly ImageDependencies[]): string {
  return list.map(entryText).join('');
}

function entryText({ image, runtime, buildtime, gitHead }: ImageDependencies): string {
  return [
    image === undefined ? '- image: null' : `- image:\n${referenceText(image, '    ')}`,
    ...(runtime === undefined ? [] : [`  runtime-dependency:\n${referenceText(runtime, '    ')}`]),
    ...(buildtime.length === 0 ? [] : [`  buildtime-dependency:\n${buildtime.map(itemText).join('\n')}`]),
    gitHead === undefined ? '  git: {}\n' : `  git:\n    git-head-revision: ${gitHead}\n`,
  ].join('\n');
}

function itemText(reference: ImageReference): string {
  return referenceText(reference, '    ').replace(/^ {4}/, '  - ');
}

function referenceText({ registry, repository, tag, digest }: ImageReference, indent: string): string {
  const lines = [`registry: ${registry}`, `repository: ${repository}`];
  if (tag !== undefined) lines.push(`tag: ${tag}`);
  if (digest !== undefined) lines.push(`digest: ${digest}`);
  return lines.map((line) => `${indent}${line}`).join('\n');
}
