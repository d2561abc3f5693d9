import type { JsonObject } from '../../wire/arm/json.ts';

/** Source: Azure resource provider contract, "provisioningState". */
export type ProvisioningState = 'Creating' | 'Updating' | 'Succeeded' | 'Failed' | 'Deleting';

/** Who changed a resource, as `systemData` shows it. */
export type Author = {
  readonly uid: string;
  readonly name: string;
  readonly kind: 'User' | 'Application';
};

/** What someone wants a resource to be: everything they can set. */
export type Desired = {
  /** Normal form: `eastus`; undefined for types without a place. */
  readonly location: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
  readonly sku: JsonObject | undefined;
  readonly identity: JsonObject | undefined;
  readonly properties: JsonObject;
};

/** Where a resource hangs. `id` and `parentId` are spelled as they are shown; keys are their lower-cased forms. */
export type ResourceName = {
  readonly id: string;
  /** Group, resource or subscription that it is in; a group or resource that it is attached to. */
  readonly parentId: string;
  readonly subscriptionId: string;
  /** Undefined above groups; a group's own name on the group itself. */
  readonly groupName: string | undefined;
  /** `Microsoft.ContainerRegistry/registries`. */
  readonly type: string;
  readonly name: string;
};

/** A row of the one table that holds every ARM resource (house plan, idea 6). */
export type Resource = ResourceName &
  Desired & {
    readonly uid: string;
    readonly tenantUid: string;
    readonly state: ProvisioningState;
    /** Changes with every change of the row. */
    readonly etag: string;
    readonly createdAtMicros: number;
    readonly createdBy: Author;
    readonly changedAtMicros: number;
    readonly changedBy: Author;
  };

/** A resource as the list of all resources tells of it. */
export type ResourceHead = ResourceName & Omit<Desired, 'properties'>;

/** Written, while a job still brings about what was asked for. */
export function isConverging({ state }: Pick<Resource, 'state'>): boolean {
  return state === 'Creating' || state === 'Updating';
}

/** Ids are compared without regard to case. */
export function idKey(id: string): string {
  return id.toLowerCase();
}
