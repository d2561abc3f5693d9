import type { DockerfileImages, DockerfileInput } from '../wire/tasks/dockerfile-images.ts';
import type { Task } from '../wire/tasks/task-file.ts';
import type { TaskText, TaskTextInput } from '../wire/tasks/task-text.ts';
import type { VaultSecret } from '../wire/tasks/vault-secret.ts';
import type { QuickBuildInput } from './quick-build.ts';
import type { PackReport, PackReportTexts } from './steps/pack-report.ts';

export type TaskRead = { readonly task: Task; readonly aliases: TaskText['aliases'] };

/** By what is read: texts that strangers may have written, and what they come to. */
export type Parsers = {
  readonly dockerfile: { readonly input: DockerfileInput; readonly result: DockerfileImages };
  readonly aliasSources: { readonly input: string; readonly result: readonly string[] };
  /** The input has no secrets yet. */
  readonly vaultSecrets: { readonly input: TaskTextInput; readonly result: readonly VaultSecret[] };
  readonly task: { readonly input: TaskTextInput; readonly result: TaskRead };
  readonly quickBuild: { readonly input: QuickBuildInput; readonly result: Task };
  readonly builderMetadata: { readonly input: string; readonly result: readonly string[] };
  readonly packReport: { readonly input: PackReportTexts; readonly result: PackReport };
};
export type ParserName = keyof Parsers;

/** What each text is to whoever wrote it. */
export const parsedTexts: Readonly<Record<ParserName, string>> = {
  dockerfile: 'the Dockerfile',
  aliasSources: 'the task file',
  vaultSecrets: 'the task file',
  task: 'the task file',
  quickBuild: 'the request for the build',
  builderMetadata: 'the label of the builder',
  packReport: 'the report of the builder',
};

/** Throws TaskError. */
export type Parser<Name extends ParserName> = (input: Parsers[Name]['input']) => Parsers[Name]['result'];

/** Loads what one text needs, and nothing else: a program reads one alone, and its start is most of what it costs. */
export const parserLoaders: { readonly [Name in ParserName]: () => Promise<Parser<Name>> } = {
  dockerfile: async () => (await import('../wire/tasks/dockerfile-images.ts')).imagesOfDockerfile,
  aliasSources: async () => (await import('../wire/tasks/task-text.ts')).aliasSourcesOf,
  quickBuild: async () => (await import('./quick-build.ts')).taskOfBuild,
  builderMetadata: async () => (await import('./steps/builder-metadata.ts')).runImagesOf,
  packReport: async () => (await import('./steps/pack-report.ts')).packReportOf,
  vaultSecrets: async () => (await import('../wire/tasks/task-file.ts')).vaultSecretsOfTask,
  task: async () => {
    const { prepareTaskText } = await import('../wire/tasks/task-text.ts');
    const { parseTaskFile } = await import('../wire/tasks/task-file.ts');
    return (input) => {
      const { yaml, aliases } = prepareTaskText(input);
      return { task: parseTaskFile(yaml), aliases };
    };
  },
};
