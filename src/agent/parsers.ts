import type { DockerfileImages, DockerfileInput } from '../wire/tasks/dockerfile-images.ts';
import type { Task } from '../wire/tasks/task-file.ts';
import type { TaskText, TaskTextInput } from '../wire/tasks/task-text.ts';
import type { QuickBuildInput } from './quick-build.ts';
import type { PackReport, PackReportTexts } from './steps/pack-report.ts';

export type TaskRead = { readonly task: Task; readonly aliases: TaskText['aliases'] };

/** By what is read: texts that strangers may have written, and what they come to. */
export type Parsers = {
  readonly dockerfile: { readonly input: DockerfileInput; readonly result: DockerfileImages };
  readonly aliasSources: { readonly input: string; readonly result: readonly string[] };
  readonly task: { readonly input: TaskTextInput; readonly result: TaskRead };
  readonly quickBuild: { readonly input: QuickBuildInput; readonly result: Task };
  readonly builderMetadata: { readonly input: string; readonly result: readonly string[] };
  readonly packReport: { readonly input: PackReportTexts; readonly result: PackReport };
};
export type ParserName = keyof Parsers;
export type ParserRequest = {
  readonly [Name in ParserName]: { readonly name: Name; readonly input: Parsers[Name]['input'] };
}[ParserName];

/** What each text is to whoever wrote it. */
export const parsedTexts: Readonly<Record<ParserName, string>> = {
  dockerfile: 'the Dockerfile',
  aliasSources: 'the task file',
  task: 'the task file',
  quickBuild: 'the request for the build',
  builderMetadata: 'the label of the builder',
  packReport: 'the report of the builder',
};

type Parse = () => Parsers[ParserName]['result'];

/** Loads what it needs alone: one text is all that a program reads. What it hands out throws TaskError. */
export async function loadParser(request: ParserRequest): Promise<Parse> {
  switch (request.name) {
    case 'dockerfile': {
      const { imagesOfDockerfile } = await import('../wire/tasks/dockerfile-images.ts');
      return () => imagesOfDockerfile(request.input);
    }
    case 'aliasSources': {
      const { aliasSourcesOf } = await import('../wire/tasks/task-text.ts');
      return () => aliasSourcesOf(request.input);
    }
    case 'quickBuild': {
      const { taskOfBuild } = await import('./quick-build.ts');
      return () => taskOfBuild(request.input);
    }
    case 'builderMetadata': {
      const { runImagesOf } = await import('./steps/builder-metadata.ts');
      return () => runImagesOf(request.input);
    }
    case 'packReport': {
      const { packReportOf } = await import('./steps/pack-report.ts');
      return () => packReportOf(request.input);
    }
    case 'task': {
      const { prepareTaskText } = await import('../wire/tasks/task-text.ts');
      const { parseTaskFile } = await import('../wire/tasks/task-file.ts');
      return () => {
        const { yaml, aliases } = prepareTaskText(request.input);
        return { task: parseTaskFile(yaml), aliases };
      };
    }
  }
}
