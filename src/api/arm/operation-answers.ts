import { BerthError } from '../../core/errors.ts';
import { findOperation, type Operation } from '../../features/resources/operation-store.ts';
import type { Database } from '../../platform/database/database.ts';
import type { ArmCall } from './arm-call.ts';
import { isoTime } from './resource-view.ts';

/** Clients wait so long between looks; without it 30 seconds. */
const pollSeconds = '1';

export type OperationParts = { readonly database: Database; readonly tenantUid: string };

/** 202 with both addresses at which clients look for the end. Source: Azure Resource Manager, "Asynchronous operations". */
export function acceptedAnswer(call: ArmCall, subscriptionId: string, operationUid: string): Response {
  return call.c.body(null, 202, {
    Location: operationAddress(call, subscriptionId, 'operationresults', operationUid),
    ...operationHeaders(call, subscriptionId, operationUid),
  });
}

/** Beside a resource whose write goes on as a job. */
export function operationHeaders(call: ArmCall, subscriptionId: string, operationUid: string): Record<string, string> {
  return {
    'Azure-AsyncOperation': operationAddress(call, subscriptionId, 'operationstatuses', operationUid),
    'Retry-After': pollSeconds,
  };
}

/** `GET …/operationstatuses/{id}`. Throws `operationUnknown`. */
export async function answerOperationStatus(parts: OperationParts, { c }: ArmCall, uid: string): Promise<Response> {
  const operation = await known(parts, uid);
  if (operation.state === 'InProgress') c.header('Retry-After', pollSeconds);
  return c.json({
    id: new URL(c.req.url).pathname,
    name: operation.uid,
    status: operation.state,
    startTime: isoTime(operation.createdAtMicros),
    ...(operation.state === 'InProgress' ? {} : { endTime: isoTime(operation.changedAtMicros) }),
    ...(operation.error === undefined ? {} : { error: operation.error }),
  });
}

/** `GET …/operationresults/{id}`: 202 until the end. Throws `operationUnknown`. */
export async function answerOperationResult(
  parts: OperationParts,
  call: ArmCall,
  at: { readonly subscriptionId: string; readonly uid: string },
): Promise<Response> {
  const operation = await known(parts, at.uid);
  switch (operation.state) {
    case 'InProgress':
      return acceptedAnswer(call, at.subscriptionId, at.uid);
    case 'Succeeded':
      return call.c.body(null, 204);
    case 'Failed':
      return call.c.json({ error: operation.error }, 409);
  }
}

async function known({ database, tenantUid }: OperationParts, uid: string): Promise<Operation> {
  const operation = await findOperation(database.read, tenantUid, uid);
  if (operation === undefined) throw new BerthError('operationUnknown');
  return operation;
}

function operationAddress({ c, apiVersion }: ArmCall, subscriptionId: string, word: string, uid: string): string {
  const query = new URLSearchParams({ 'api-version': apiVersion });
  return `${c.var.call.origin}/subscriptions/${subscriptionId}/${word}/${uid}?${query}`;
}
