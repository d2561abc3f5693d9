import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { BerthError } from '../../core/errors.ts';
import type { BindingProof } from '../../features/identity/identity-bindings.ts';
import type { MachineSignIn } from '../../features/identity/machine-sign-in.ts';
import type { SignInFrom } from '../../features/identity/sign-in.ts';
import { parseResource } from '../../features/identity/tenant-resource.ts';
import type { TenantTokens } from '../../features/identity/tenant-tokens.ts';
import type { AccessLog } from '../../platform/access-log/access-log.ts';
import type { Ids } from '../../platform/ids.ts';
import { type IdentityTokenAnswer, identityTokenQuery } from '../../wire/identity/identity-messages.ts';
import { correlationHeader, correlationIdOf } from '../middleware/correlation-id.ts';
import { plainAddress } from '../middleware/forwarded.ts';
import { parseHostName, placeOf } from '../middleware/host-name.ts';
import { type ObserveParts, observe } from '../middleware/observe.ts';
import { refuseRest } from '../middleware/refuse-rest.ts';
import type { IdentityEnv } from './identity-env.ts';
import { renderIdentityError } from './render-identity-error.ts';

export type IdentityEndpointParts = ObserveParts & {
  readonly machineSignIn: MachineSignIn;
  readonly tenantTokens: TenantTokens;
  readonly accessLog: AccessLog;
  readonly ids: Ids;
  readonly domain: string;
  /** Name or address that the endpoint listens on. */
  readonly host: string;
};

const maxFormBytes = 16 * 1024;
/** What proxies add. Behind one, every caller would have the address of the proxy. */
const proxyHeaders = ['x-forwarded-for', 'x-forwarded-host', 'x-real-ip', 'forwarded', 'via'];

/**
 * The app of a listener that gives tokens of managed identities to machines, and nothing else. Two forms: to an address that
 * was bound, as the instance metadata service; to whoever shows a secret that was bound, as App Service. A header that no
 * browser and no redirect adds by itself is asked for, so that a program cannot be led here by an address from outside.
 * Source: az wire document, 1.7.
 */
export function identityEndpoint(parts: IdentityEndpointParts): Hono<IdentityEnv> {
  // Some clients end the path with a slash.
  const app = new Hono<IdentityEnv>({ strict: false });
  app.onError(renderIdentityError(parts.log));
  app.notFound(() => {
    throw new BerthError('routeUnknown');
  });
  app.use(async (c, next) => {
    const { incoming, outgoing } = c.env ?? {};
    const from = fromOf(c, parts.ids);
    c.set('from', from);
    c.header('Cache-Control', 'no-store');
    c.header(correlationHeader, from.correlationId);
    const { correlationId, address } = from;
    if (incoming && outgoing) observe(parts, incoming, outgoing, { correlationId, address, path: c.req.path });
    try {
      refuseForwarded(c);
      await next();
    } finally {
      if (incoming && outgoing) await refuseRest(incoming, outgoing, parts.clock);
    }
  });
  app.get('/metadata/identity/oauth2/token', (c) => answer(parts, c, byAddress(parts, c), queryOf(c)));
  app.get('/msi/token', (c) => answer(parts, c, bySecret(c), queryOf(c)));
  // Clients of before 2021 post a form where they are given an address and no secret.
  const limit = bodyLimit({
    maxSize: maxFormBytes,
    onError: () => {
      throw new BerthError('bodyTooLarge');
    },
  });
  for (const path of ['/msi/token', '/oauth2/token'])
    app.post(path, limit, async (c) => answer(parts, c, byAddress(parts, c), new URLSearchParams(await c.req.text())));
  return app;
}

/** Throws `identityRequestInvalid`. */
function refuseForwarded(c: Context<IdentityEnv>): void {
  const header = proxyHeaders.find((name) => c.req.header(name) !== undefined);
  if (header === undefined) return;
  throw new BerthError('identityRequestInvalid', `the header ${header} says that the request came through a proxy`);
}

async function answer(
  { machineSignIn, tenantTokens, accessLog, domain }: IdentityEndpointParts,
  c: Context<IdentityEnv>,
  proof: BindingProof,
  parameters: URLSearchParams,
): Promise<Response> {
  const { resource, wanted } = askedIn(parameters);
  const isOurs = (name: string) => [domain, `login.${domain}`].includes(name) || isControl(name, domain);
  const known = parseResource(resource, isOurs);
  if (known === undefined) throw new BerthError('audienceUnknown', resource.slice(0, 500));
  const { from } = c.var;
  const who = await machineSignIn({ proof, wanted, from });
  const issued = await tenantTokens.issueAccess(who, known);
  const { address, correlationId, userAgent } = from;
  const line = { kind: 'tokenIssue', identity: who.principal.uid, address, correlationId, status: 200 } as const;
  accessLog.record({ ...line, ...(userAgent === undefined ? {} : { userAgent }) });
  const seconds = String(issued.expiresInSeconds);
  const body: IdentityTokenAnswer = {
    access_token: issued.token,
    client_id: who.clientId,
    expires_in: seconds,
    ext_expires_in: seconds,
    expires_on: String(issued.expiresAt),
    not_before: String(issued.expiresAt - issued.expiresInSeconds),
    resource,
    token_type: 'Bearer',
  };
  return c.json(body);
}

/** Throws `identityRequestInvalid`. */
function askedIn(parameters: URLSearchParams): { readonly resource: string; readonly wanted: string | undefined } {
  const parsed = identityTokenQuery.safeParse(Object.fromEntries(parameters));
  if (!parsed.success) {
    const names = parsed.error.issues.map((issue) => issue.path.join('.'));
    throw new BerthError('identityRequestInvalid', `missing or wrong: ${[...new Set(names)].join(', ')}`);
  }
  const { resource, client_id, clientid, object_id, principal_id, msi_res_id, mi_res_id } = parsed.data;
  const given = [client_id, clientid, object_id, principal_id, msi_res_id, mi_res_id].filter((each) => !!each);
  if (given.length > 1)
    throw new BerthError('identityRequestInvalid', 'one of client_id, object_id and msi_res_id is enough');
  return { resource, wanted: given[0] };
}

/** Throws `identityRequestInvalid` without the header, or for a host name that is not this machine's. */
function byAddress({ host }: IdentityEndpointParts, c: Context<IdentityEnv>): BindingProof {
  if (c.req.header('metadata')?.toLowerCase() !== 'true')
    throw new BerthError('identityRequestInvalid', 'the header Metadata: true is missing');
  const name = parseHostName(c.req.header('host') ?? '')?.name;
  // A page in a browser may have its own name point here.
  if (name === undefined || (name !== host.toLowerCase() && placeOf(name, '')?.kind !== 'local'))
    throw new BerthError('identityRequestInvalid', 'the Host header is not an address of this endpoint');
  return { kind: 'address', address: addressOf(c) };
}

/** Throws `identityRequestInvalid`. */
function bySecret(c: Context<IdentityEnv>): BindingProof {
  const secret = c.req.header('x-identity-header') ?? c.req.header('secret');
  if (secret === undefined) throw new BerthError('identityRequestInvalid', 'the header X-IDENTITY-HEADER is missing');
  return { kind: 'secret', secret };
}

function queryOf(c: Context<IdentityEnv>): URLSearchParams {
  const parameters = new URL(c.req.url).searchParams;
  if (!parameters.has('api-version')) throw new BerthError('identityRequestInvalid', 'missing or wrong: api-version');
  return parameters;
}

/** Of the connection: nobody else's word is taken for it. */
function addressOf(c: Context<IdentityEnv>): string {
  return plainAddress(c.env?.incoming?.socket.remoteAddress ?? '');
}

function fromOf(c: Context<IdentityEnv>, ids: Ids): SignInFrom {
  const correlationId = correlationIdOf(c.req.header(correlationHeader), ids);
  return { address: addressOf(c), correlationId, userAgent: c.req.header('user-agent') };
}

/** Names that the control plane is asked for by. */
function isControl(name: string, domain: string): boolean {
  const kind = placeOf(name, domain)?.kind;
  return kind === 'local' || kind === 'control';
}
