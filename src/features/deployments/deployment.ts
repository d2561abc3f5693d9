import type { ArmErrorPart } from '../../wire/arm/error-schema.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { Author } from '../resources/resource.ts';
import type { Step } from './template-run.ts';

export type DeploymentState = 'Accepted' | 'Running' | 'Succeeded' | 'Failed' | 'Canceled';

/** How one resource of a deployment went, and when. */
export type DeploymentOperation = Step & { readonly atMicros: number };

export type DeploymentError = ArmErrorPart & { readonly details?: readonly ArmErrorPart[] };

/** The deployment of a template to a resource group: the last of its name. */
export type Deployment = {
  readonly uid: string;
  readonly tenantUid: string;
  readonly groupUid: string;
  readonly name: string;
  readonly mode: 'Incremental' | 'Complete';
  readonly state: DeploymentState;
  readonly template: JsonObject;
  /** `{ name: { type, value } }`; secure ones without a value. Outputs likewise. */
  readonly parameters: JsonObject;
  readonly outputs: JsonObject;
  readonly operations: readonly DeploymentOperation[];
  readonly error: DeploymentError | undefined;
  readonly author: Author;
  readonly correlationId: string;
  readonly createdAtMicros: number;
  readonly changedAtMicros: number;
};

export function isActive({ state }: Pick<Deployment, 'state'>): boolean {
  return state === 'Accepted' || state === 'Running';
}
