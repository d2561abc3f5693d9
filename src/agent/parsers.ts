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

/** Each loads what it needs alone: one text is all that its program reads. Throws TaskError. */
export async function parse(request: ParserRequest): Promise<Parsers[ParserName]['result']> {
  switch (request.name) {
    case 'dockerfile':
      return (await import('../wire/tasks/dockerfile-images.ts')).imagesOfDockerfile(request.input);
    case 'aliasSources':
      return (await import('../wire/tasks/task-text.ts')).aliasSourcesOf(request.input);
    case 'quickBuild':
      return (await import('./quick-build.ts')).taskOfBuild(request.input);
    case 'builderMetadata':
      return (await import('./steps/builder-metadata.ts')).runImagesOf(request.input);
    case 'packReport':
      return (await import('./steps/pack-report.ts')).packReportOf(request.input);
    case 'task': {
      const { prepareTaskText } = await import('../wire/tasks/task-text.ts');
      const { parseTaskFile } = await import('../wire/tasks/task-file.ts');
      const { yaml, aliases } = prepareTaskText(request.input);
      return { task: parseTaskFile(yaml), aliases };
    }
  }
}
