import { BerthError } from '../../core/errors.ts';
import { StrictJsonError } from '../../core/strict-json.ts';
import { type Deployment, isActive } from '../../features/deployments/deployment.ts';
import type { DeploymentRequestTo, Deployments } from '../../features/deployments/deployments.ts';
import { shownValues } from '../../features/deployments/template-parameters.ts';
import { parseTemplateText } from '../../features/deployments/template-text.ts';
import { refuse } from '../../features/resources/refuse.ts';
import type { Resource } from '../../features/resources/resource.ts';
import type { Subscription } from '../../features/resources/subscription-store.ts';
import { isJsonObject, type JsonObject, jsonObjectSchema } from '../../wire/arm/json.ts';
import { bodyIn, bytesIn, type TransferLimits } from '../middleware/streams.ts';
import type { ArmCall } from './arm-call.ts';
import { deploymentId, deploymentView, operationView, whatIfView } from './deployments-view.ts';

export type DeploymentRouteParts = { readonly deployments: Deployments; readonly transfer: TransferLimits };

type At = { readonly group: Resource; readonly subscription: Subscription; readonly rest: readonly string[] };

const maxBodyBytes = 4 * 1024 * 1024;
const pollSeconds = '1';

/**
 * What stands behind `…/deployments` in an address below a subscription; undefined for other addresses. The operations are
 * also asked for without the provider. Source: Azure Resource Manager, "Deployments", "Deployment Operations".
 */
export function deploymentSegments(rest: readonly string[]): readonly string[] | undefined {
  const words = rest.map((each) => each.toLowerCase());
  if (words[0] !== 'resourcegroups') return undefined;
  if (words[2] === 'deployments') return rest.slice(3);
  const isThere = words[2] === 'providers' && words[3] === 'microsoft.resources' && words[4] === 'deployments';
  return isThere ? rest.slice(5) : undefined;
}

export async function answerDeployments(parts: DeploymentRouteParts, call: ArmCall, at: At): Promise<Response> {
  const [name, word, id] = at.rest;
  if (name === undefined) return await answerList(parts, call, at);
  if (word === undefined) return await answerDeployment(parts, call, at, name);
  switch (`${call.c.req.method} ${word.toLowerCase()}`) {
    case 'POST validate':
      return await answerValidate(parts, call, at, name);
    case 'POST whatif':
      return await answerWhatIf(parts, call, at, name);
    case 'POST cancel':
      await parts.deployments.cancel(at.group, name, call.author);
      return call.c.body(null, 204);
    case 'POST exporttemplate':
      return call.c.json({ template: (await parts.deployments.find(at.group, name)).template });
    case 'GET operations':
      return await answerOperations(parts, call, at, name);
    case 'GET operationstatuses':
      return await answerStatus(parts, call, at, { name, uid: id ?? '' });
    default:
      throw new BerthError('unsupported');
  }
}

async function answerDeployment(parts: DeploymentRouteParts, call: ArmCall, at: At, name: string): Promise<Response> {
  const { c } = call;
  switch (c.req.method) {
    case 'GET':
      return c.json(deploymentView(at.group.id, await parts.deployments.find(at.group, name)));
    case 'HEAD':
      await parts.deployments.find(at.group, name);
      return c.body(null, 204);
    case 'PUT': {
      const deployment = await parts.deployments.begin(await requestOf(parts, call, at, name));
      const headers = { 'Azure-AsyncOperation': statusAddress(call, at, deployment), 'Retry-After': pollSeconds };
      return c.json(deploymentView(at.group.id, deployment), 201, headers);
    }
    case 'DELETE':
      await parts.deployments.delete(at.group, name, call.author);
      return c.body(null, 204);
    default:
      throw new BerthError('unsupported');
  }
}

async function answerList({ deployments }: DeploymentRouteParts, { c }: ArmCall, { group }: At): Promise<Response> {
  if (c.req.method !== 'GET') throw new BerthError('unsupported');
  const state = filteredState(c.req.query('$filter'));
  const all = await deployments.list(group);
  const found = all.filter((each) => state === undefined || each.state.toLowerCase() === state);
  return c.json({ value: found.map((each) => deploymentView(group.id, each)) });
}

/** Source: Azure Resource Manager, "Deployments - List": `provisioningState eq '{state}'`. */
function filteredState(filter: string | undefined): string | undefined {
  if (filter === undefined || filter.trim() === '') return undefined;
  const state = /^\s*provisioningState\s+eq\s+'(\w{1,30})'\s*$/i.exec(filter.slice(0, 200))?.[1];
  if (state !== undefined) return state.toLowerCase();
  throw refuse('filterInvalid', {
    message: "Invalid $filter: use provisioningState eq 'Succeeded'.",
    target: '$filter',
  });
}

async function answerValidate(parts: DeploymentRouteParts, call: ArmCall, at: At, name: string): Promise<Response> {
  const request = await requestOf(parts, call, at, name);
  const { prepared, mode } = await parts.deployments.validate(request);
  const id = deploymentId(at.group.id, name);
  const parameters = shownValues(prepared.template.parameters, prepared.parameters);
  const validatedResources = prepared.planned
    .filter((each) => each.isWanted && !each.isExisting)
    .map((each) => ({ id: each.id }));
  const { correlationId } = request;
  const properties = {
    mode,
    provisioningState: 'Succeeded',
    parameters,
    correlationId,
    providers: [],
    dependencies: [],
    validatedResources,
  };
  return call.c.json({ id, name, type: 'Microsoft.Resources/deployments', properties });
}

async function answerWhatIf(parts: DeploymentRouteParts, call: ArmCall, at: At, name: string): Promise<Response> {
  const request = await requestOf(parts, call, at, name);
  const { changes, secrets } = await parts.deployments.whatIf(request);
  const { properties } = request.body;
  const settings = isJsonObject(properties ?? null) ? jsonObjectSchema.parse(properties).whatIfSettings : undefined;
  const isIdOnly = isJsonObject(settings) && settings.resultFormat === 'ResourceIdOnly';
  return call.c.json(whatIfView(changes, secrets, isIdOnly), 200, { 'Cache-Control': 'no-store' });
}

async function answerOperations(
  { deployments }: DeploymentRouteParts,
  { c }: ArmCall,
  { group }: At,
  name: string,
): Promise<Response> {
  const deployment = await deployments.find(group, name);
  const value = deployment.operations.map((each, index) => operationView(group.id, deployment, each, index));
  return c.json({ value });
}

/** Where `az` looks for the end. Throws `operationUnknown` when another deployment took the name. */
async function answerStatus(
  { deployments }: DeploymentRouteParts,
  { c }: ArmCall,
  { group }: At,
  { name, uid }: { readonly name: string; readonly uid: string },
): Promise<Response> {
  const deployment = await deployments.find(group, name);
  if (deployment.uid !== uid) throw new BerthError('operationUnknown');
  if (isActive(deployment)) c.header('Retry-After', pollSeconds);
  const { state, error } = deployment;
  return c.json({ status: state, ...(error === undefined ? {} : { error }) });
}

function statusAddress({ c, apiVersion }: ArmCall, { group }: At, { name, uid }: Deployment): string {
  const query = new URLSearchParams({ 'api-version': apiVersion });
  return `${c.var.call.origin}${deploymentId(group.id, name)}/operationStatuses/${uid}?${query}`;
}

async function requestOf(
  parts: DeploymentRouteParts,
  call: ArmCall,
  { group, subscription }: At,
  name: string,
): Promise<DeploymentRequestTo> {
  const { c, author } = call;
  const bytes = await bytesIn(bodyIn(c, parts.transfer), maxBodyBytes, () => new BerthError('bodyTooLarge'));
  return { group, subscription, name, body: bodyOf(bytes), author, correlationId: c.var.call.correlationId };
}

function bodyOf(bytes: Uint8Array): JsonObject {
  try {
    const value = jsonObjectSchema.safeParse(parseTemplateText(bytes)).data;
    if (value !== undefined && isJsonObject(value)) return value;
  } catch (error) {
    if (!(error instanceof StrictJsonError)) throw error;
    throw refuse('requestInvalid', {
      message: `The request content was invalid and could not be deserialized: ${error.message}.`,
    });
  }
  throw refuse('requestInvalid', { message: 'The request content was invalid: it is not a JSON object.' });
}
