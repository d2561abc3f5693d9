import type { JsonObject } from '../../wire/arm/json.ts';

export type HostedWrite = { readonly id: string; readonly apiVersion: string; readonly body: JsonObject };

/** A resource as it stands after a step, as its address shows it. */
export type Hosted = {
  readonly view: JsonObject;
  /** False for one that was only foretold: what the server adds to it is not known yet. */
  readonly isKnown: boolean;
};

/** A resource group that a deployment works in. */
export type HostedGroup = {
  readonly id: string;
  readonly name: string;
  readonly location: string;
  readonly tags: JsonObject;
};

/**
 * Where the resources of templates are: the resource manager itself, with the authority of whoever deploys, or a forecast of
 * what it would do. Everything throws what the resource manager refuses.
 */
export type ResourceHost = {
  /** Creates or changes, to the end of what goes on as a job; `refuseStopped` is asked while it waits. Throws `resourceFailed`. */
  readonly put: (write: HostedWrite, refuseStopped: () => Promise<void>) => Promise<Hosted>;
  /** Undefined when there is none. */
  readonly read: (id: string, apiVersion: string) => Promise<JsonObject | undefined>;
  /** `listCredentials` and the like. */
  readonly act: (id: string, action: string, apiVersion: string, body: JsonObject) => Promise<JsonObject>;
  /** Throws `resourceGroupUnknown`. */
  readonly group: (subscriptionId: string, name: string) => Promise<HostedGroup>;
};
