import type { Run, RunTrigger } from '../../features/builds/run.ts';
import type { Resource } from '../../features/resources/resource.ts';
import type { JsonObject } from '../../wire/arm/json.ts';

export const runType = 'Microsoft.ContainerRegistry/registries/runs';

/** A run as clients read it. Source: az wire document, 2.19. */
export function runView({ id }: Pick<Resource, 'id'>, run: Run): JsonObject {
  const [platform] = run.platforms;
  return {
    id: `${id}/runs/${run.runId}`,
    name: run.runId,
    type: runType,
    properties: {
      runId: run.runId,
      status: run.status,
      runType: run.runType,
      createTime: timeOf(run.createdAtMicros),
      lastUpdatedTime: timeOf(run.changedAtMicros),
      startTime: run.startedAtMicros === undefined ? null : timeOf(run.startedAtMicros),
      finishTime: run.finishedAtMicros === undefined ? null : timeOf(run.finishedAtMicros),
      task: run.taskName ?? null,
      agentPoolName: run.agentPoolName ?? null,
      platform: platform === undefined ? null : { ...platform, variant: platform.variant ?? null },
      agentConfiguration: { cpu: run.cpus },
      outputImages: run.images.map((image) => ({ ...image })),
      ...triggerView(run.trigger),
      sourceRegistryAuth: null,
      customRegistries: [...run.customRegistries],
      runErrorMessage: run.errorMessage ?? null,
      updateTriggerToken: run.updateTriggerToken ?? null,
      logArtifact: null,
      isArchiveEnabled: run.isArchiveEnabled,
      // The resource is made with its first answer: clients wait for whatever says otherwise (az acr task update-run 2.45).
      provisioningState: 'Succeeded',
    },
  };
}

function triggerView(trigger: RunTrigger): JsonObject {
  const none = { imageUpdateTrigger: null, sourceTrigger: null, timerTrigger: null };
  switch (trigger.kind) {
    case 'manual':
      return none;
    case 'image': {
      const { id, timestamp, images } = trigger;
      return { ...none, imageUpdateTrigger: { id, timestamp, images: images.map((image) => ({ ...image })) } };
    }
    case 'source': {
      const { kind: _, pullRequestId = null, ...source } = trigger;
      return { ...none, sourceTrigger: { ...source, pullRequestId } };
    }
    case 'timer': {
      const { timerTriggerName, scheduleOccurrence } = trigger;
      return { ...none, timerTrigger: { timerTriggerName, scheduleOccurrence } };
    }
  }
}

function timeOf(micros: number): string {
  return new Date(micros / 1000).toISOString();
}
