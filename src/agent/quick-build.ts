import type { RunVariables } from '../wire/builds/agent-protocol.ts';
import type { DockerBuild, RunPlatform } from '../wire/builds/run-work.ts';
import type { Task, TaskStep } from '../wire/tasks/task-file.ts';
import { runTextRenderer } from '../wire/tasks/task-text.ts';

/** Source: ACR tasks, 1.5. */
const [buildSeconds, pushSeconds] = [28_800, 3_600];

const plainStep = {
  when: undefined,
  startDelay: 0,
  env: [],
  workingDirectory: undefined,
  entryPoint: undefined,
  user: undefined,
  isPrivileged: false,
  network: undefined,
  ports: [],
  volumeMounts: [],
  isDetached: false,
  pulls: false,
  ignoresErrors: false,
  retries: 0,
  retryDelay: 5,
  retryOnErrors: [],
  repeat: 0,
} satisfies Partial<TaskStep>;

export type QuickBuildInput = {
  readonly work: DockerBuild;
  readonly run: RunVariables;
  readonly platforms: readonly RunPlatform[];
  readonly now: Date;
};

/** Whether any text of a quick build is more than itself. */
export function hasTemplates({ imageNames, dockerFile, target = '', arguments: given }: DockerBuild): boolean {
  return [...imageNames, dockerFile, target, ...given.map(({ value }) => value)].some((text) => text.includes('{{'));
}

/** A quick build as a task of two steps: build, then push. Its texts are templates. Throws TaskError. Source: ACR tasks, 1.5. */
export function taskOfBuild({ work, run, platforms, now }: QuickBuildInput): Task {
  const fill = runTextRenderer(run, now);
  const tags = work.imageNames.map(fill);
  const isPushed = work.isPushEnabled && tags.length > 0;
  const build: TaskStep = {
    ...plainStep,
    id: 'build',
    timeout: buildSeconds,
    work: {
      kind: 'build',
      isCached: false,
      hasPushStep: isPushed,
      options: {
        tags,
        file: fill(work.dockerFile),
        arguments: new Map(work.arguments.map(({ name, value }) => [name, fill(value)])),
        target: work.target === undefined ? undefined : fill(work.target),
        platforms: platforms.map(({ os, architecture, variant }) => [os, architecture, variant ?? []].flat().join('/')),
        labels: [],
        annotations: [],
        hasCache: !work.noCache,
        pulls: false,
        pushes: isPushed,
        isSquashed: false,
        secrets: [],
        addedHosts: [],
        network: undefined,
        context: '.',
      },
    },
  };
  const push: TaskStep = { ...plainStep, id: 'push', timeout: pushSeconds, work: { kind: 'push', images: tags } };
  return { version: 'v1.0.0', steps: isPushed ? [build, push] : [build], networks: [], volumes: [] };
}
