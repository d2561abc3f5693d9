import type { Author, Resource } from '../../features/resources/resource.ts';
import type { ResourceType } from '../../features/resources/resource-type.ts';
import type { JsonObject } from '../../wire/arm/json.ts';
import type { ArmCall } from './arm-call.ts';
import type { ArmTarget } from './arm-target.ts';

export type ArmAction = {
  readonly method: 'GET' | 'POST';
  /** Refused under a ReadOnly lock. */
  readonly isChange: boolean;
  readonly run: (call: {
    readonly resource: Resource;
    readonly body: JsonObject;
    readonly author: Author;
    readonly apiVersion: string;
  }) => Promise<object>;
};

/** A resource type as the resource manager serves it: one file of this folder each. */
export type ArmType = ResourceType & {
  /** `properties` as they are shown. */
  readonly properties: (resource: Resource, apiVersion: string) => JsonObject;
  /** What of `properties` other tables hold, by the uid of its resource: read at once for all that are shown together. */
  readonly derived?: (resources: readonly Resource[]) => Promise<ReadonlyMap<string, JsonObject>>;
  /** By the lower-cased word behind the resource's id. */
  readonly actions?: Readonly<Record<string, ArmAction>>;
  readonly hasSystemData: boolean;
  /** Status of a PUT that makes one; 201 unless given. */
  readonly createdStatus?: 200;
  /** For a type whose PATCH has another form, and another answer, than a part of the resource and 200. */
  readonly patch?: { readonly read: (body: JsonObject) => JsonObject; readonly status: 200 | 201 };
  /** What every parent has without anybody making it: shown and listed like the others, never written. */
  readonly builtIns?: (parent: Resource) => readonly Resource[];
  /** For a type whose things are no rows of the table of resources: answers everything that is asked of them, once it is allowed. */
  readonly answers?: (call: ArmCall, target: ArmTarget) => Promise<Response>;
};
